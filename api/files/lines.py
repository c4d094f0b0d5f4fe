"""The lines of a stored file, in chunks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from api.files.store import contents
from shared.db.engine import Database

MARK: Final = b"\xef\xbb\xbf"
"""Some editors begin a file with it."""


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line that is not blank."""

    number: int
    """Counted from 1, blank lines too."""
    data: bytes | None
    """None: it is longer than was asked for."""


async def lines_of(database: Database, file_id: str, longest: int) -> AsyncIterator[FileLine]:
    """Each line of up to `longest` bytes; memory holds a part and a line."""
    rest, number = b"", 0
    async for part in contents(database, file_id):
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            number += 1
            if found := _line(number, line, longest):
                yield found
        # What is too long is remembered by its length alone.
        rest = rest[: longest + 1]
    if found := _line(number + 1, rest, longest):
        yield found


async def chunks_of(
    lines: AsyncIterator[FileLine], *, most_lines: int, most_bytes: int
) -> AsyncIterator[list[FileLine]]:
    """The same lines, so many or so many bytes at once."""
    chunk: list[FileLine] = []
    size = 0
    async for line in lines:
        length = len(line.data or b"")
        if chunk and (len(chunk) >= most_lines or size + length > most_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += length
    if chunk:
        yield chunk


def _line(number: int, data: bytes, longest: int) -> FileLine | None:
    if number == 1:
        data = data.removeprefix(MARK)
    if len(data) > longest:
        return FileLine(number, None)
    return FileLine(number, data) if data.strip() else None
