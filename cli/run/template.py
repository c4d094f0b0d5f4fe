"""Prompts out of columns: `{{column}}` and nothing else."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from cli.errors import InputError

PLACE: Final = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def fill(template: str, row: Mapping[str, Any]) -> str:
    """The template with each `{{column}}` replaced by the row's value; what is no text, as JSON.

    Raises InputError that names a column that is not there, and those that are.
    """

    def value(match: re.Match[str]) -> str:
        column = match.group(1)
        if column not in row:
            there = ", ".join(sorted(row)) or "none"
            message = f"no column {column!r} for {{{{{column}}}}}; the columns are: {there}"
            raise InputError(message)
        found = row[column]
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return PLACE.sub(value, template)


def is_encodable(text: str) -> bool:
    """Whether the text can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
