"""Tables and plain lines come in, tables go out, and what is broken is named by its line."""

import csv
import gzip
from pathlib import Path

import pytest

from cli.errors import InputError
from cli.run.reader import read_file
from cli.run.sheet import Sheet
from cli.run.source import Record, records
from tests.cli.conftest import Command
from tests.cli.test_bad_input import refused


def found(path: Path, content: bytes) -> list[Record]:
    path.write_bytes(content)
    return list(records(path))


def test_a_table_is_read_as_rfc_4180_says(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfname, text \r\n"Ann, ""B""","two\r\nlines"\r\n\r\nBob,\xc3\xbc\r\n'
    first, blank, second = found(tmp_path / "a.csv", content)
    assert first == Record(2, {"name": 'Ann, "B"', "text": "two\r\nlines"})
    assert (blank.row, blank.problem) == (None, None)
    assert second == Record(5, {"name": "Bob", "text": "ü"})
    tabs = found(tmp_path / "a.tsv", b"a\tb\n1,5\t2\n")
    assert tabs == [Record(2, {"a": "1,5", "b": "2"})]


def test_utf_16_and_gzip_are_known_by_their_marks(tmp_path: Path) -> None:
    text = "name\nJürgen\n"
    wanted = [Record(2, {"name": "Jürgen"})]
    assert found(tmp_path / "a.csv", text.encode("utf-16")) == wanted
    assert found(tmp_path / "b.csv.gz", gzip.compress(text.encode())) == wanted


def test_plain_lines_are_rows_and_blank_ones_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\n\n  \n two\n")
    read = read_file(path, lambda _row, _format: None)
    assert list(read.rows()) == [{"line": "one"}, {"line": " two"}]
    assert (list(read.numbers), read.blank) == ([1, 4], 2)


@pytest.mark.parametrize(
    ("name", "content", "number", "says"),
    [
        ("a.csv", b"a,b\n1,2\n1,2,3\n", 3, "3 cells, the header has 2"),
        ("a.csv", b'a,b\n1,2\n"never closed,2\n1,2\n', 3, "never closed"),
        ("a.csv", b'a,b\n"x"y,2\n', 2, "not a record"),
        ("a.csv", b"a,\n", 1, "column 2 of the header has no name"),
        ("a.csv", b"a,a\n", 1, "'a' twice"),
        ("a.csv", b"a\nok\n\xff\n", 3, "not UTF-8 (byte 1"),
        ("a.csv", "a\nb\n".encode("utf-16-le"), 1, "UTF-16 without its mark"),
        ("a.csv", b"\xff\xfea", 1, "not UTF-16"),
        ("a.txt", b"ok\n\xff\n", 2, "not UTF-8"),
    ],
)
def test_a_broken_record_is_named_by_its_line(
    tmp_path: Path, name: str, content: bytes, number: int, says: str
) -> None:
    last = found(tmp_path / name, content)[-1]
    assert last.number == number
    assert says in str(last.problem)


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n")
    read = read_file(path, lambda _row, _format: None)
    for content in ("one\n", "one\n\ntwo\n", "one\ntwo\nthree\n"):
        path.write_text(content)
        with pytest.raises(InputError, match="was changed"):
            list(read.rows())


def test_a_gzip_that_is_cut_is_said(light: Command) -> None:
    whole = gzip.compress(b'{"question": "Why?"}\n' * 1000)
    (light.folder / "p.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "the gzip file is broken" in refused(light, "p.jsonl.gz", "--rehearse")


def test_no_cell_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    given = ["=1+1", "+x", "-x", "@x", "\t=1", "-5", "+1.5e3", "plain", None, True, ["a"], 7]
    columns = [str(number) for number in range(len(given))]
    with path.open("wb") as file:
        Sheet(file, path, columns).write(dict(zip(columns, given, strict=True)))
    with path.open(newline="") as file:
        _, cells = csv.reader(file)
    guarded = ["'=1+1", "'+x", "'-x", "'@x", "'\t=1"]
    assert cells == [*guarded, "-5", "+1.5e3", "plain", "", "true", '["a"]', "7"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("p.csv", "-o", "out.xlsx"), ".jsonl, .csv or .tsv"),
        (("p.csv", "-o", "out.csv"), "'promptmill.id' is where an answer goes"),
        (("-",), "say -o FILE"),
        (("-", "-o", "out.jsonl"), "stdin.jsonl: no prompts"),
    ],
)
def test_what_a_run_cannot_write_or_read_is_refused(
    light: Command, words: tuple[str, ...], says: str
) -> None:
    (light.folder / "p.csv").write_text("prompt,promptmill.id\nWhy?,1\n")
    assert says in refused(light, *words, "--rehearse")


def test_a_run_of_lines_writes_a_table(serving: Command) -> None:
    (serving.folder / "lines.txt").write_text("Why?\n\nHow?\n")
    done = serving("run", "lines.txt", "--rehearse", "-o", "lines.tsv")
    assert done.returncode == 0, done.stderr
    assert "blank lines skipped: 1" in done.stdout
    with (serving.folder / "lines.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["line"] for row in rows] == ["Why?", "How?"]
    assert all(row["promptmill.content"] for row in rows)
    again = serving("run", "lines.txt", "--rehearse", "-o", "lines.tsv")
    assert "this run is finished" in again.stdout
