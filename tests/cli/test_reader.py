"""A file is read once, kept by offset, and given back row by row as it was."""

import json
import tracemalloc
from pathlib import Path

import pytest

from cli.errors import InputError
from cli.run.reader import Format, read_file
from cli.run.requests import Row
from cli.run.source import parse


def take(row: Row, line_format: Format) -> None:
    """A check that finds nothing wrong."""


def test_rows_come_back_in_order_with_the_numbers_of_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"n": 1}\r\n\r\n  \n{"n": 2}\n{"n": 3}')
    found = read_file(path, take)
    assert [row["n"] for row in found.rows()] == [1, 2, 3]
    assert list(found.numbers) == [1, 4, 5]
    assert found.format is Format.COLUMNS


def test_numbers_are_kept_as_they_were() -> None:
    assert parse(b'{"n": 123456789012345678901234567890, "x": 1.5}') == {
        "n": 123456789012345678901234567890,
        "x": 1.5,
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"a": "\xff"}', "not UTF-8 (byte 8 of the line)"),
        (b'{"a": "\\udc00"}', "column 'a': a lone surrogate"),
        (b'{"a": {"b": ["\\ud83d"]}}', "column 'a': a lone surrogate"),
        (b'{"a": {"b\\u0000": 1}}', "column 'a': a NUL"),
        (b'{"a": NaN}', "NaN is no JSON value"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": 1} {"a": 2}', "not valid JSON: extra data (column 10)"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_line_that_cannot_be_used_says_where_and_why(line: bytes, says: str) -> None:
    with pytest.raises(InputError) as refused:
        parse(line)
    assert says in refused.value.message


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\\\ud800"', '{"k": "\\\\u0000"}'])
def test_whole_pairs_and_escaped_backslashes_are_taken(text: str) -> None:
    assert parse(f'{{"a": {text}}}'.encode()) == {"a": json.loads(text)}


def test_a_large_file_costs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text((json.dumps({"question": "x" * 400}) + "\n") * 20_000)
    tracemalloc.start()
    found = read_file(path, take)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 20_000
    assert peak < 3_000_000


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        read_file(tmp_path, take)
    with pytest.raises(InputError, match="not a plain file"):
        read_file(Path("/dev/null"), take)
