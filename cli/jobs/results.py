"""Write results as they come, page by page: JSON lines, or a table."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from cli.client import Client
from cli.errors import InputError
from cli.jobs.choose import Choice, is_final, require
from cli.run.sheet import ANSWER_COLUMNS, DELIMITERS, Sheet, flat, is_sheet
from cli.run.writer import answer, as_bytes

BESIDE: Final = ("batch", "lane", "metadata", "created_at", "finished_at")
SUFFIXES: Final = {"", ".jsonl", ".ndjson", *DELIMITERS}

Write = Callable[[dict[str, Any]], object]


async def chosen(
    api: Client, job_ids: Sequence[str], choice: Choice
) -> AsyncIterator[dict[str, Any]]:
    """The named jobs, or all that were chosen, the oldest first; of no state: what has ended."""
    for job_id in job_ids:
        yield await require(api, job_id)
    if job_ids:
        return
    async for job in api.jobs(**choice.params(), order="asc", include="result"):
        if choice.state is not None or is_final(job):
            yield job


@contextmanager
def writer(out: Path | None) -> Iterator[Write]:
    """Writes one job a line to the file, all or nothing, or to stdout. Raises InputError."""
    if out is None:
        yield lambda job: sys.stdout.buffer.write(as_bytes(_line(job)))
        sys.stdout.buffer.flush()
        return
    if out.suffix.lower() not in SUFFIXES:
        message = f"{out}: results are written as .jsonl, .csv or .tsv; choose another -o"
        raise InputError(message)
    half = out.with_name(out.name + ".part")
    try:
        with half.open("wb") as file:
            yield _writer_of(out, file)
        half.replace(out)
    except OSError as error:
        message = f"{out}: {(error.strerror or str(error)).lower()}; choose another -o"
        raise InputError(message) from None


def _writer_of(out: Path, file: IO[bytes]) -> Write:
    if not is_sheet(out):
        return lambda job: file.write(as_bytes(_line(job)))
    sheet = Sheet(file, out, [*ANSWER_COLUMNS, *BESIDE])
    return lambda job: sheet.write({**_line(job), **flat(answer(job))})


def _line(job: dict[str, Any]) -> dict[str, Any]:
    return {**answer(job), **{name: job[name] for name in BESIDE}}
