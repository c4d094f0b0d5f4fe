"""Where a run reads and writes when the command line names no plain file."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.errors import InputError
from cli.run.source import Kind, kind_of

STDIN: Final = Path("-")


@contextmanager
def plain_file(file: Path) -> Iterator[Path]:
    """The file, or what stdin says as a file: a run reads its input more than once."""
    if file != STDIN:
        yield file
        return
    if sys.stdin.isatty():
        raise InputError("-: stdin is a terminal; pipe JSONL into it")
    with tempfile.TemporaryDirectory(prefix="promptmill-stdin-") as folder:
        kept = Path(folder) / "stdin.jsonl"
        with kept.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        yield kept


def default_out(file: Path) -> Path:
    """Where answers go when nothing is said. Raises InputError for what has no name of its own."""
    if file == STDIN:
        raise InputError("-: say -o FILE, so that the same command finds its answers again")
    if not file.name:
        raise InputError(f"{file}: it is a directory, not a file of prompts")
    kind = kind_of(file)
    suffix = kind if kind in {Kind.CSV, Kind.TSV} else Kind.JSONL
    return file.with_name(f"{Path(file.name.removesuffix('.gz')).stem}.answers.{suffix}")
