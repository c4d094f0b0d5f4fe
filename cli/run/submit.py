"""Hand the lines of a file to the API, in chunks that it takes whole."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, TypeVar

from cli.client import Client, RefusedError
from cli.errors import InputError
from cli.run.reader import PromptFile
from cli.run.requests import Row
from cli.run.unsent import Handed, Unsent

CHUNK_LINES: Final = 500
CHUNK_BYTES: Final = 8 * 1024 * 1024
"""A chunk ends with the line that passes it."""
SHARE: Final = 4
"""Of what may wait of the tenant a chunk is a quarter at most: it need not wait for all to go."""
IN_FLIGHT: Final = 3
"""Chunks on their way at once: the command makes the next while the api writes the last."""

OVER_BUDGET: Final = 402

T = TypeVar("T")
MakeLine = Callable[[Row, int], dict[str, Any]]
"""From a row and its line number to a line of the bulk body."""


async def submit(prompts: PromptFile, make_line: MakeLine, api: Client) -> list[Handed]:
    """Submit every line; what became of each, in the file's order.

    Lines that were accepted before are found by their keys. A chunk that a budget leaves no room
    for is left out. Raises InputError that names the line which the API refused.
    """
    lines = await _lines_of_a_chunk(api)

    async def hand_over(chunk: list[bytes], before: int) -> list[Handed]:
        return await _submit_chunk(prompts, chunk, before, api)

    handed: list[Handed] = []
    async for each in in_chunks(chunks(prompts, make_line, lines), hand_over):
        handed += each
    return handed


async def in_chunks(
    found: Iterable[list[bytes]], hand_over: Callable[[list[bytes], int], Coroutine[Any, Any, T]]
) -> AsyncIterator[T]:
    """What became of each chunk, in order; `hand_over` is told how many lines come before it."""
    under_way: deque[asyncio.Task[T]] = deque()
    before = 0
    try:
        for chunk in found:
            if len(under_way) == IN_FLIGHT:
                yield await under_way.popleft()
            under_way.append(asyncio.create_task(hand_over(chunk, before)))
            before += len(chunk)
            # The request leaves before the next chunk is made.
            await asyncio.sleep(0)
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _lines_of_a_chunk(api: Client) -> int:
    """As many as fit into the tenant's queue, if that is small."""
    limits = (await api.get("/api/v1/me"))["tenant"]["limits"]
    most = limits["max_queued"]
    return CHUNK_LINES if most is None else min(CHUNK_LINES, max(most // SHARE, 1))


async def _submit_chunk(
    prompts: PromptFile, chunk: list[bytes], before: int, api: Client
) -> list[Handed]:
    """Submit lines of which so many come before in the file; what became of each."""
    try:
        jobs = await api.submit_lines(chunk)
    except RefusedError as error:
        if error.status == OVER_BUDGET:
            return [Unsent(error.message.removeprefix(f"line {error.line}: "))] * len(chunk)
        if error.line is None:
            raise
        number = prompts.numbers[before + error.line - 1]
        raise InputError(f"{prompts.path.name}:{number}: {error.message}") from None
    return [job["id"] for job in jobs]


def chunks(prompts: PromptFile, make_line: MakeLine, lines: int) -> Iterator[list[bytes]]:
    """The lines of a bulk body, so many at most."""
    chunk: list[bytes] = []
    size = 0
    for number, row in zip(prompts.numbers, prompts.rows(), strict=True):
        line = json.dumps(make_line(row, number), ensure_ascii=False).encode()
        chunk.append(line)
        size += len(line)
        if len(chunk) == lines or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
