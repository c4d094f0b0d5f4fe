"""Prompts out of columns: `{{column}}` and nothing else."""

import re
from collections.abc import Mapping
from typing import Any, Final

from cli.errors import InputError

PLACE: Final = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def columns_of(template: str) -> list[str]:
    """The columns that a template names, in their order."""
    return [match.group(1) for match in PLACE.finditer(template)]


def fill(template: str, row: Mapping[str, Any]) -> str:
    """The template with each `{{column}}` replaced by the row's value.

    Raises InputError that names a column that is not there, and those that are.
    """

    def value(match: re.Match[str]) -> str:
        column = match.group(1)
        if column not in row:
            there = ", ".join(sorted(row)) or "none"
            message = f"no column {column!r} for {{{{{column}}}}}; the columns are: {there}"
            raise InputError(message)
        found = row[column]
        return found if isinstance(found, str) else str(found)

    return PLACE.sub(value, template)
