"""Hand the lines of a file to the API, in chunks that it takes whole."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from cli.client import Client, RefusedError
from cli.errors import InputError
from cli.run.reader import PromptFile
from cli.run.requests import Row

CHUNK_LINES: Final = 500
CHUNK_BYTES: Final = 8 * 1024 * 1024
"""A chunk ends with the line that passes it."""

MakeLine = Callable[[Row, int], dict[str, Any]]
"""From a row and its line number to a line of the bulk body."""


async def submit(prompts: PromptFile, make_line: MakeLine, api: Client) -> list[str]:
    """Submit every line; the jobs' ids in the file's order.

    Lines that were accepted before are found by their keys. Raises InputError that names the
    line which the API refused.
    """
    job_ids: list[str] = []
    for chunk in _chunks(prompts, make_line):
        try:
            jobs = await api.submit_lines(chunk)
        except RefusedError as error:
            if error.line is None:
                raise
            number = prompts.numbers[len(job_ids) + error.line - 1]
            message = f"{prompts.path.name}:{number}: {error.message}"
            raise InputError(message) from None
        job_ids += [job["id"] for job in jobs]
    return job_ids


def _chunks(prompts: PromptFile, make_line: MakeLine) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for number, row in zip(prompts.numbers, prompts.rows(), strict=True):
        line = json.dumps(make_line(row, number), ensure_ascii=False).encode()
        chunk.append(line)
        size += len(line)
        if len(chunk) == CHUNK_LINES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
