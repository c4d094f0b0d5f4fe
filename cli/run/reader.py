"""Prompt files: JSONL with columns, or OpenAI's batch JSONL; read by line, kept by offset."""

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from cli.errors import InputError
from cli.run.requests import BATCH_KEYS, Row

BOM: Final = b"\xef\xbb\xbf"
MOST_SHOWN: Final = 10
SURROGATE: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")


class Format(StrEnum):
    """What a line is."""

    COLUMNS = "columns"
    BATCH = "OpenAI batch"


@dataclass(slots=True)
class PromptFile:
    """A file that has been read once: where its lines begin, not what they say."""

    path: Path
    format: Format
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    numbers: "array[int]" = field(default_factory=lambda: array("L"))

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self, first: int = 0) -> Iterator[Row]:
        """The rows from an index on, in the file's order."""
        with self.path.open("rb") as file:
            for offset in self.offsets[first:]:
                file.seek(offset)
                yield _parse(file.readline())


def read_file(path: Path, check: Callable[[Row, Format], object]) -> PromptFile:
    """Read and check every line; InputError names the bad ones, `file:line: why`."""
    try:
        found, problems = _scan(path, check)
    except OSError as error:
        message = f"{path}: {(error.strerror or str(error)).lower()}"
        raise InputError(message) from None
    if problems:
        raise InputError(_told(path, problems, good=len(found)))
    if not found:
        message = f"{path}: no prompts in it; one JSON object per line is expected"
        raise InputError(message)
    return found


def format_of(row: Row) -> Format:
    """OpenAI's batch format is known by its four keys."""
    return Format.BATCH if row.keys() >= BATCH_KEYS else Format.COLUMNS


def _told(path: Path, problems: list[tuple[int, str]], *, good: int) -> str:
    """The bad lines in words; what is wrong with all of them alike is said once."""
    reasons = {reason for _, reason in problems}
    if not good and len(problems) > 1 and len(reasons) == 1:
        return f"{path.name}: every line: {reasons.pop()}; nothing was submitted"
    shown = [f"{path.name}:{number}: {reason}" for number, reason in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        shown.append(f"… and {len(problems) - MOST_SHOWN} more")
    plural = "s" if len(problems) > 1 else ""
    return "\n".join([f"{len(problems)} bad line{plural}; nothing was submitted", *shown])


def _scan(
    path: Path, check: Callable[[Row, Format], object]
) -> tuple[PromptFile, list[tuple[int, str]]]:
    found: PromptFile | None = None
    problems: list[tuple[int, str]] = []
    custom_ids: dict[str, int] = {}
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            start, offset = offset, offset + len(line)
            if not line.removeprefix(BOM).strip():
                continue
            try:
                row = _parse(line)
                found = found or PromptFile(path, format_of(row))
                _check_custom_id(row, number, found.format, custom_ids)
                check(row, found.format)
            except InputError as error:
                problems.append((number, error.message))
                continue
            found.offsets.append(start)
            found.numbers.append(number)
    return found or PromptFile(path, Format.COLUMNS), problems


def _check_custom_id(row: Row, number: int, line_format: Format, seen: dict[str, int]) -> None:
    if line_format is not Format.BATCH:
        return
    if format_of(row) is not Format.BATCH:
        raise InputError("the other lines have custom_id, method, url and body; this one has not")
    first = seen.setdefault(str(row["custom_id"]), number)
    if first != number:
        message = f"custom_id {row['custom_id']!r} is taken by line {first}"
        raise InputError(message)


def _parse(line: bytes) -> Row:
    try:
        row = orjson.loads(line.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        if SURROGATE.search(line):
            raise InputError("a lone surrogate (half of a \\uXXXX pair); mend it") from None
        message = f"not valid JSON: {error.msg} (column {error.colno})"
        raise InputError(message) from None
    if not isinstance(row, dict):
        message = f"a JSON object is expected, not {type(row).__name__}"
        raise InputError(message)
    _refuse_nul(row)
    return row


def _refuse_nul(row: dict[str, Any]) -> None:
    """Only then is the row searched for the place when its text has one at all."""
    for column, value in row.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if "\x00" in text or "\\u0000" in text or "\x00" in column:
            message = f"column {column!r}: a NUL character (U+0000); remove it"
            raise InputError(message)
