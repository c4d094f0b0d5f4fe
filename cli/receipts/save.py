"""A receipt as it is read from the server: into a file, whole or not at all, or to stdout."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cli.client import JOBS, Client
from cli.errors import InputError
from shared.domain.errors import UnavailableError

BATCHES: Final = "/api/v1/batches"
LAST: Final = ('{"total":', "total,")
"""How the last line begins, as JSON and as a table."""


def of_job(job_id: str) -> str:
    """Where the receipt of a job is."""
    return f"{JOBS}/{quote(job_id, safe='')}/receipt"


def of_batch(batch: str) -> str:
    """Where the receipt of a batch is."""
    return f"{BATCHES}/{quote(batch, safe='')}/receipt"


async def save(api: Client, path: str, out: Path | None, *, table: bool = False) -> int:
    """Write it; how many attempts it has. Raises InputError, RefusedError, UnavailableError.

    The folder of `out` is made where it is missing; without `out` it goes to stdout.
    """
    lines = _whole(api, f"{path}?format={'csv' if table else 'jsonl'}")
    if out is None:
        number = await _write(lines, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
    else:
        number = await _replace(out, lines)
    return number - 1 - table


async def _replace(out: Path, lines: AsyncIterator[bytes]) -> int:
    half = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as file:
            number = await _write(lines, file.write)
        half.replace(out)
    except OSError as error:
        message = f"{out}: {(error.strerror or str(error)).lower()}; choose another place"
        raise InputError(message) from None
    return number


async def _write(lines: AsyncIterator[bytes], put: Callable[[bytes], object]) -> int:
    number = 0
    async for line in lines:
        put(line)
        number += 1
    return number


async def _whole(api: Client, path: str) -> AsyncIterator[bytes]:
    """The lines, their ends with them. Raises UnavailableError if the last one is missing."""
    line = ""
    async with aclosing(api.lines(path, {})) as lines:
        async for line in lines:
            yield line.encode() + b"\n"
    if not line.startswith(LAST):
        raise UnavailableError("the receipt broke off before its end: ask for it again")
