"""Prompt files: checked whole before anything is submitted, then read again row by row."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from cli.errors import InputError
from cli.run.requests import BATCH_KEYS, Row
from cli.run.source import Record, records

MOST_SHOWN: Final = 10
MOST_COLUMNS: Final = 1000


class Format(StrEnum):
    """What a line is."""

    COLUMNS = "columns"
    BATCH = "OpenAI batch"


@dataclass(slots=True)
class PromptFile:
    """A file that has been read once: where its records begin, not what they say."""

    path: Path
    format: Format = Format.COLUMNS
    numbers: "array[int]" = field(default_factory=lambda: array("L"))
    """The line on which each record begins."""
    blank: int = 0
    """Lines that said nothing."""
    rejected: list[tuple[int, str]] = field(default_factory=list)
    """Lines that are no prompts, and why; no row is read of them."""
    columns: dict[str, None] = field(default_factory=dict)
    """The columns of all rows, in the order of their first sight; one too many at most."""

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[Row]:
        """The rows in the file's order. Raises InputError when the file is another one by now."""
        numbers = iter(self.numbers)
        left_out = {number for number, _ in self.rejected}
        try:
            for record in records(self.path):
                if record.number in left_out:
                    continue
                if record.row is not None and record.number == next(numbers, None):
                    yield record.row
                elif record.row is not None or record.problem is not None:
                    break
            else:
                if next(numbers, None) is None:
                    return
        except OSError as error:
            raise InputError(_unreadable(self.path, error)) from None
        message = f"{self.path} was changed while it was read; repeat the command"
        raise InputError(message)


def read_file(path: Path, check: Callable[[Row, Format], object]) -> PromptFile:
    """Read and check every line; InputError names the bad ones, `file:line: why`."""
    found = read_what_can_be(path, check)
    if found.rejected:
        raise InputError(told(path, found.rejected, good=len(found)))
    if not found:
        message = f"{path}: no prompts in it; one a line is expected"
        raise InputError(message)
    return found


def read_what_can_be(path: Path, check: Callable[[Row, Format], object]) -> PromptFile:
    """The same with the bad lines beside the good ones. Raises InputError for no file at all."""
    try:
        if not path.is_dir() and path.exists() and not path.is_file():
            message = f"{path}: not a plain file; it is read more than once"
            raise InputError(message)
        return _scan(path, check)
    except OSError as error:
        raise InputError(_unreadable(path, error)) from None


def format_of(row: Row) -> Format:
    """OpenAI's batch format is known by its four keys."""
    return Format.BATCH if row.keys() >= BATCH_KEYS else Format.COLUMNS


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: {(error.strerror or str(error)).lower()}"


def told(path: Path, problems: list[tuple[int, str]], *, good: int) -> str:
    """The bad lines in words; what is wrong with all of them alike is said once."""
    reasons = {reason for _, reason in problems}
    if not good and len(problems) > 1 and len(reasons) == 1:
        return f"{path.name}: every line: {reasons.pop()}; nothing was submitted"
    shown = [f"{path.name}:{number}: {reason}" for number, reason in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        shown.append(f"… and {len(problems) - MOST_SHOWN} more")
    plural = "s" if len(problems) > 1 else ""
    return "\n".join([f"{len(problems)} bad line{plural}; nothing was submitted", *shown])


def _scan(path: Path, check: Callable[[Row, Format], object]) -> PromptFile:
    found = PromptFile(path)
    custom_ids: dict[str, int] = {}
    first = True
    for record in records(path):
        if record.row is None and record.problem is None:
            found.blank += 1
            continue
        try:
            row = _row(record)
            if first:
                found.format, first = format_of(row), False
            _check_custom_id(row, record.number, found.format, custom_ids)
            check(row, found.format)
        except InputError as error:
            found.rejected.append((record.number, error.message))
            continue
        found.numbers.append(record.number)
        if len(found.columns) <= MOST_COLUMNS:
            found.columns.update(dict.fromkeys(row))
    return found


def _row(record: Record) -> Row:
    if record.row is None:
        raise InputError(record.problem or "nothing")
    return record.row


def _check_custom_id(row: Row, number: int, line_format: Format, seen: dict[str, int]) -> None:
    if line_format is not Format.BATCH:
        return
    if format_of(row) is not Format.BATCH:
        raise InputError("the other lines have custom_id, method, url and body; this one has not")
    first = seen.setdefault(str(row["custom_id"]), number)
    if first != number:
        message = f"custom_id {row['custom_id']!r} is taken by line {first}"
        raise InputError(message)
