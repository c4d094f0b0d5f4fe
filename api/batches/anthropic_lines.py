"""Lines of Anthropic's batches: custom_id and params; a message, an error, or why there is none."""

from collections.abc import Mapping
from typing import Any, Final

from api.batches.dialects import Json, Line, LineEnd, custom_id_of, mistake
from api.faces.ask import extension_of
from shared.domain.errors import InvalidRequestError
from shared.domain.job import JobState
from shared.faces.anthropic_reply import message_of
from shared.faces.anthropic_request import MESSAGES, read_message
from shared.faces.faults import anthropic_error, fault_of

ENDPOINTS: Final = (MESSAGES,)
NEVER_RUN: Final = {JobState.EXPIRED: "expired", JobState.CANCELLED: "canceled"}


def read_line(row: Mapping[str, Any], _: str) -> Line:
    """What the line asks for. Raises InvalidRequestError."""
    custom_id = custom_id_of(row)
    params = row.get("params")
    if not isinstance(params, dict):
        raise mistake("missing_required_parameter", "'params' must be an object.", "params")
    try:
        asked = read_message(params)
        own = extension_of(params)
    except InvalidRequestError as error:
        error.field = f"params.{error.field}"
        raise
    user = {"end_user": asked.end_user} if asked.end_user else {}
    request = {**asked.request, "drop_unsupported": True}
    return Line(custom_id=custom_id, fields={**user, **own, "request": request})


def named(field: str, _: Mapping[str, Any]) -> str:
    """Where a line has what is this field of the normal form."""
    return f"params.{field}"


def answered(end: LineEnd) -> Json:
    """The line of the results."""
    if end.result is None or end.job_id is None:
        raise ValueError("the line has no answer")
    return _line(end, {"type": "succeeded", "message": message_of(end.job_id, end.result)})


def unanswered(end: LineEnd) -> Json:
    """The same without an answer."""
    if never_run := NEVER_RUN.get(JobState(end.state)):
        return _line(end, {"type": never_run})
    error = anthropic_error(fault_of(end.kind), end.message)
    return _line(end, {"type": "errored", "error": {**error, "request_id": end.job_id}})


def _line(end: LineEnd, result: Json) -> Json:
    return {"custom_id": end.custom_id, "result": result}
