"""Prompt files: JSONL with columns, or OpenAI's batch JSONL; read by line, kept by offset."""

import json
import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NoReturn

from cli.errors import InputError
from cli.run.requests import BATCH_KEYS, Row
from cli.run.template import is_encodable

BOM: Final = b"\xef\xbb\xbf"
MOST_SHOWN: Final = 10


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

    def rows(self) -> Iterator[Row]:
        """The rows in the file's order."""
        with self.path.open("rb") as file:
            for offset in self.offsets:
                file.seek(offset)
                yield parse(file.readline())


def read_file(path: Path, check: Callable[[Row, Format], object]) -> PromptFile:
    """Read and check every line; InputError names the bad ones, `file:line: why`."""
    try:
        if not path.is_dir() and path.exists() and not path.is_file():
            message = f"{path}: not a plain file; it is read more than once"
            raise InputError(message)
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


def parse(line: bytes) -> Row:
    """The object of one line. Raises InputError that says why there is none."""
    try:
        text = line.removeprefix(BOM).decode()
        row = json.loads(text, parse_constant=_not_json, parse_float=_finite)
    except UnicodeDecodeError as error:
        message = f"not UTF-8 (byte {error.start + 1} of the line)"
        raise InputError(message) from None
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg.lower()} (column {error.colno})"
        raise InputError(message) from None
    except (RecursionError, ValueError) as error:
        message = f"not valid JSON: {error}"
        raise InputError(message) from None
    if not isinstance(row, dict):
        message = f"a JSON object is expected, not {type(row).__name__}"
        raise InputError(message)
    if "\\u" in text:  # only an escape can smuggle them in
        for column, value in row.items():
            _refuse_unstorable(column, column)
            _refuse_unstorable(column, value)
    return row


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
                row = parse(line)
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


def _not_json(constant: str) -> NoReturn:
    message = f"{constant} is no JSON value"
    raise ValueError(message)


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        message = f"{number} is too large a number"
        raise ValueError(message)
    return value


def _refuse_unstorable(column: str, value: Any) -> None:
    """Databases take no NUL, and UTF-8 has no half of a surrogate pair."""
    if isinstance(value, str):
        if "\x00" in value:
            message = f"column {column!r}: a NUL character (U+0000); remove it"
            raise InputError(message)
        if not is_encodable(value):
            message = f"column {column!r}: a lone surrogate (half of a \\uXXXX pair); mend it"
            raise InputError(message)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _refuse_unstorable(column, key)
            _refuse_unstorable(column, inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_unstorable(column, inner)
