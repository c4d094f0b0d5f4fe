"""A line of an input file to a submission, with whatever is wrong told in the line's words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any, Final

from sqlalchemy import Row

from api.batches.dialects import Line, custom_id_of, mistake
from api.batches.table import DIALECTS
from api.files.lines import FileLine
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import JobSubmit
from api.jobs.submit import Submission
from shared.db.batch_work import line_key
from shared.domain.batch import LONGEST_WINDOW
from shared.domain.errors import InvalidRequestError
from shared.domain.face import Face

JOB_PLACE: Final = "request."


@dataclass(frozen=True, slots=True)
class Terms:
    """What all lines of a batch have in common."""

    batch_id: str
    dialect: str
    endpoint: str
    job: Mapping[str, Any]
    """Fields of a JobSubmit."""
    expires_at: datetime

    @classmethod
    def of(cls, row: Row[Any]) -> "Terms":
        """Of a row of shared/db/batches.py."""
        return cls(row.id, row.dialect, row.endpoint, row.options["job"], row.expires_at)


def parsed(line: FileLine, terms: Terms) -> tuple[Line, Any]:
    """The line, and the JSON value that it is. Raises InvalidRequestError."""
    if line.data is None:
        raise mistake("line_too_long", "This line is longer than a request may be.")
    try:
        row = parse_json(line.data)
    except InvalidRequestError as error:
        detail = error.message.removeprefix("the body is not valid JSON: ")
        said = f"This line is not parseable as valid JSON: {detail}"
        raise mistake("invalid_json_line", said) from None
    if not isinstance(row, dict):
        raise mistake("invalid_json_line", "This line is no JSON object.")
    return DIALECTS[terms.dialect].read(row, terms.endpoint), row


def name_of(line: FileLine) -> str:
    """Its custom_id, if it is so far in order; else its number."""
    try:
        row = parse_json(line.data or b"")
        return custom_id_of(row if isinstance(row, dict) else {})
    except InvalidRequestError:
        return f"line {line.number}"


def submission_of(line: FileLine, terms: Terms, now: datetime) -> tuple[str, Submission]:
    """Its custom_id, and the job that it asks for. Raises InvalidRequestError."""
    read, row = parsed(line, terms)
    left = min(max(ceil((terms.expires_at - now).total_seconds()), 1), LONGEST_WINDOW)
    fields = {
        **terms.job, **read.fields, "batch": terms.batch_id, "deadline_seconds": left,
        "batch_max_cost": terms.job.get("batch_max_cost"),
    }  # fmt: skip
    try:
        job = parse_as(JobSubmit, fields)
    except InvalidRequestError as error:
        raise in_words_of(terms, row, error) from None
    echo = {"custom_id": read.custom_id, "line": line.number, **read.echo}
    key = line_key(terms.batch_id, line.number)
    size = len(line.data or b"")
    submission = Submission(job, row, size, key, line.number, Face.LINE, echo)
    return read.custom_id, submission


def in_words_of(terms: Terms, row: Any, error: InvalidRequestError) -> InvalidRequestError:
    """The same mistake of this line, its place named as the line has it."""
    said = error.message.removeprefix(f"line {getattr(error, 'line', None)}: ")
    if error.field and error.field.startswith(JOB_PLACE):
        field = error.field
        error.field = DIALECTS[terms.dialect].named(field.removeprefix(JOB_PLACE), row)
        said = error.field + said.removeprefix(field) if said.startswith(field) else said
    error.message = said
    return error
