"""The dialects of batches: how a line of each is read, and how its end is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from shared.domain.errors import InvalidRequestError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of an input file, read."""

    custom_id: str
    fields: Json
    """Fields of a JobSubmit, `request` among them."""
    echo: Mapping[str, Any] = field(default_factory=dict)
    """What its answer repeats, beside the custom_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineEnd:
    """What became of a line."""

    number: int
    custom_id: str
    state: str
    """A final JobState; `failed`, too, where it never became a job for another reason."""
    job_id: str | None = None
    """None: it never became a job."""
    echo: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    """The JSON of a GenerationResult."""
    kind: str = ""
    """Of its error."""
    message: str = ""
    finished_at: datetime | None = None
    cost_nano: int = 0
    cost_flagged: bool = False
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One row of the table."""

    read: Callable[[Mapping[str, Any], str], Line]
    """The JSON object of a line, and the batch's endpoint. Raises InvalidRequestError: its `code`
    and `field` go into the batch's errors."""
    answered: Callable[[LineEnd], Json]
    """The output's line for one that has a result."""
    unanswered: Callable[[LineEnd], Json]
    """The same for one that has none."""
    named: Callable[[str, Mapping[str, Any]], str]
    """Where a line has what is this field of the normal form."""
    apart: bool
    """Lines without a result go into a file of their own."""
    endpoints: tuple[str, ...]
    """What its batches may be of."""
    alone: bool = False
    """A line that cannot be taken ends by itself; else it ends its batch before anything runs."""

    def told(self, end: LineEnd) -> Json:
        """The line of either file."""
        return (self.unanswered if end.result is None else self.answered)(end)


LONGEST_CUSTOM_ID: Final = 512


def mistake(code: str, message: str, param: str | None = None) -> InvalidRequestError:
    """A line that cannot be taken, in words of OpenAI's error codes."""
    error = InvalidRequestError(message, field=param)
    error.code = code
    return error


def custom_id_of(row: Mapping[str, Any]) -> str:
    """Raises InvalidRequestError where a line has none."""
    found = row.get("custom_id")
    if not isinstance(found, str) or not found:
        raise mistake(
            "missing_required_parameter", "Missing required parameter: 'custom_id'.", "custom_id"
        )
    if len(found) > LONGEST_CUSTOM_ID:
        said = f"'custom_id' is longer than {LONGEST_CUSTOM_ID} characters."
        raise mistake("invalid_custom_id", said, "custom_id")
    return found
