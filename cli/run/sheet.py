"""Answers as a table for spreadsheets, in flat columns."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from shared.faces.cells import cell

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
ANSWER_COLUMNS: Final = (
    "id", "state", "model", "content", "finish_reason", "refusal", "input_tokens",
    "output_tokens", "cost_usd", "cost_unknown", "tries", "error_kind", "error",
)  # fmt: skip


def is_sheet(path: Path) -> bool:
    """Whether the name's ending asks for a table."""
    return path.suffix.lower() in DELIMITERS


class Sheet:
    """A table that is written row by row."""

    def __init__(self, file: IO[bytes], path: Path, columns: Sequence[str]) -> None:
        """Begin with the header."""
        self._columns = columns
        self._buffer = io.StringIO()
        self._file = file
        self._writer = csv.writer(self._buffer, delimiter=DELIMITERS[path.suffix.lower()])
        self._write([cell(column) for column in columns])

    def write(self, row: Mapping[str, Any]) -> None:
        """One row; a column that it lacks is empty."""
        self._write([cell(row.get(column)) for column in self._columns])

    def _write(self, cells: Sequence[str]) -> None:
        self._writer.writerow(cells)
        self._file.write(self._buffer.getvalue().encode())
        self._buffer.seek(0)
        self._buffer.truncate()


def flat(answer: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """An answer as the cells of ANSWER_COLUMNS, each name with the prefix."""
    usage, error = answer["usage"] or {}, answer["error"] or {}
    cells = {
        **answer,
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "cost_usd": answer["cost"]["usd"],
        "cost_unknown": answer["cost"]["unknown"],
        "error_kind": error.get("kind"),
        "error": error.get("message"),
    }
    return {f"{prefix}{name}": cells[name] for name in ANSWER_COLUMNS}
