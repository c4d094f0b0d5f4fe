"""A prompt file as records: JSONL, CSV, TSV or plain lines, plain or gzipped, one at a time."""

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from cli.errors import InputError
from cli.run.requests import Row
from cli.run.template import is_encodable

BOM: Final = b"\xef\xbb\xbf"
UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
GZIP: Final = b"\x1f\x8b"
LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes; no model takes so much, and a file that is no text shall not fill the memory."""
LINE_COLUMN: Final = "line"


class Kind(StrEnum):
    """How a file is read."""

    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    TXT = "txt"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file: a row, a problem, or neither: a blank line."""

    number: int
    """The line on which it begins."""
    row: Row | None = None
    problem: str | None = None


def kind_of(path: Path) -> Kind:
    """By the name's ending, whatever of `.gz` follows; JSONL where it says nothing else."""
    name = path.name.lower().removesuffix(".gz")
    return next((kind for kind in Kind if name.endswith(f".{kind}")), Kind.JSONL)


def records(path: Path) -> Iterator[Record]:
    """Every record in the file's order; one that nothing can follow is the last. Raises OSError."""
    with _opened(path) as file:
        yield from READERS[kind_of(path)](file)


def parse(line: bytes) -> Row:
    """The object of one line of JSONL. Raises InputError that says why there is none."""
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


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as plain:
        if not plain.peek(len(GZIP)).startswith(GZIP):
            yield plain
            return
        try:
            with gzip.open(plain) as unpacked:
                yield io.BufferedReader(unpacked)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise OSError(None, f"the gzip file is broken ({error})") from None


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends. Raises InputError for one that is too long."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            message = f"longer than {LONGEST_LINE // 1024 // 1024} MiB; is this a text file?"
            raise InputError(message)
        yield line


def _json_lines(file: IO[bytes]) -> Iterator[Record]:
    number = 0
    try:
        for number, line in enumerate(_lines(file), 1):
            if not line.removeprefix(BOM).strip():
                yield Record(number)
                continue
            try:
                yield Record(number, parse(line))
            except InputError as error:
                yield Record(number, problem=error.message)
    except InputError as error:
        yield Record(number + 1, problem=error.message)


def _plain_lines(file: IO[bytes]) -> Iterator[Record]:
    lines = _TextLines(file)
    try:
        for line in lines:
            text = line.rstrip("\r\n")
            yield Record(lines.number, {LINE_COLUMN: text} if text.strip() else None)
    except InputError as error:
        yield Record(lines.number + 1, problem=error.message)


def _table(file: IO[bytes], delimiter: str) -> Iterator[Record]:
    """RFC 4180 with a header; after a broken record nothing can be told, so it is the last."""
    csv.field_size_limit(LONGEST_LINE)
    lines = _TextLines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        start = lines.number + 1
        try:
            cells = next(reader, None)
        except InputError as error:
            yield Record(lines.number + 1, problem=error.message)
            return
        except csv.Error as error:
            yield Record(start, problem=_broken(str(error)))
            return
        if cells is None:
            return
        if cells and not header:
            header = [cell.strip() for cell in cells]
            if problem := _wrong_header(header):
                yield Record(start, problem=problem)
                return
            continue
        yield _cells(start, header, cells)


def _cells(number: int, header: list[str], cells: list[str]) -> Record:
    if not cells:
        return Record(number)
    if len(cells) != len(header):
        return Record(number, problem=f"{len(cells)} cells, the header has {len(header)}")
    return Record(number, dict(zip(header, cells, strict=True)))


def _broken(why: str) -> str:
    if "end of data" in why:
        return "a quote that this record opens is never closed"
    return f"not a record: {why}"


def _wrong_header(header: list[str]) -> str | None:
    if "" in header:
        return f"column {header.index('') + 1} of the header has no name"
    twice = next((name for name in header if header.count(name) > 1), None)
    return None if twice is None else f"the header has the column {twice!r} twice"


class _TextLines:
    """The lines of a text as UTF-8, or as UTF-16 where its mark says so."""

    def __init__(self, file: IO[bytes]) -> None:
        self.number = 0
        self._lines = self._decoded(file)

    def __iter__(self) -> "_TextLines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if "\x00" in line:
            raise InputError("a NUL character (U+0000); is the file UTF-16 without its mark?")
        self.number += 1
        return line

    def _decoded(self, file: IO[bytes]) -> Iterator[str]:
        if file.peek(2)[:2] in UTF16_BOMS:  # type: ignore[attr-defined]  # both kinds have it
            yield from self._utf16(file)
            return
        for number, line in enumerate(_lines(file)):
            try:
                yield (line if number else line.removeprefix(BOM)).decode()
            except UnicodeDecodeError as error:
                message = f"not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8"
                raise InputError(message) from None

    def _utf16(self, file: IO[bytes]) -> Iterator[str]:
        text = io.TextIOWrapper(file, encoding="utf-16", newline="")
        try:
            while line := text.readline(LONGEST_LINE):
                yield line
        except UnicodeError:
            raise InputError("not UTF-16, though the file's mark says so") from None
        finally:
            text.detach()


READERS: Final[dict[Kind, Callable[[IO[bytes]], Iterator[Record]]]] = {
    Kind.JSONL: _json_lines,
    Kind.CSV: lambda file: _table(file, ","),
    Kind.TSV: lambda file: _table(file, "\t"),
    Kind.TXT: _plain_lines,
}


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
