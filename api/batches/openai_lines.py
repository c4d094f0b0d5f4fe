"""Lines of OpenAI's batches: custom_id, method, url and body; response or error."""

from collections.abc import Mapping
from typing import Any, Final

from api.batches.dialects import Json, Line, LineEnd, custom_id_of, mistake
from api.faces.ask import EXTENSION, extension_of
from shared.domain.errors import InvalidRequestError
from shared.domain.job import JobState
from shared.faces import responses_request
from shared.faces.openai_batch_line import answered_line, unanswered_line
from shared.faces.openai_reply import reply_of
from shared.faces.openai_request import (
    CHATS,
    COMPLETIONS,
    EMBEDDINGS,
    Asked,
    parameter_of,
    read_body,
)
from shared.faces.responses_reply import Snapshot, echo_of, response_of
from shared.faces.responses_request import RESPONSES, read_response

ENDPOINTS: Final = (CHATS, COMPLETIONS, EMBEDDINGS, RESPONSES)
REPEATED: Final = "repeated"
"""In a line's echo: what the object of a response repeats."""


def read_line(row: Mapping[str, Any], endpoint: str) -> Line:
    """What the line asks for. Raises InvalidRequestError."""
    custom_id = custom_id_of(row)
    if row.get("method") != "POST":
        said = "Invalid value for 'method'. Expected 'POST'."
        raise mistake("invalid_method", said, "method")
    if row.get("url") != endpoint:
        said = f"The URL provided for this request does not match the batch endpoint {endpoint!r}."
        raise mistake("mismatched_endpoint", said, "url")
    body = row.get("body")
    if not isinstance(body, dict):
        raise mistake("missing_required_parameter", "'body' must be an object.", "body")
    try:
        return _read_body(custom_id, endpoint, body)
    except InvalidRequestError as error:
        error.field = f"body.{error.field}"
        raise


def _read_body(custom_id: str, endpoint: str, body: Json) -> Line:
    if body.get("stream"):
        said = "stream: lines of a batch have no stream; leave it out"
        raise mistake("streaming_not_supported", said, "stream")
    theirs = {name: value for name, value in body.items() if name != EXTENSION}
    asked, echo = _asked(endpoint, theirs)
    user = {"end_user": body["user"]} if body.get("user") else {}
    request = {**asked.request, "drop_unsupported": True}
    fields = {**user, **extension_of(body), "request": request}
    return Line(custom_id=custom_id, fields=fields, echo={"url": endpoint, **echo})


def _asked(endpoint: str, body: Json) -> tuple[Asked, Json]:
    """What the body asks for, and what its answer repeats."""
    if endpoint == RESPONSES:
        return read_response(body, lenient=True), {REPEATED: echo_of(body)}
    form = body.get("encoding_format") if endpoint == EMBEDDINGS else None
    return read_body(endpoint, body, lenient=True), {"encoding_format": form} if form else {}


def named(field: str, row: Mapping[str, Any]) -> str:
    """Where a line has what is this field of the normal form."""
    if row["url"] == RESPONSES:
        return f"body.{responses_request.parameter_of(field)}"
    return f"body.{parameter_of(row['url'], field, row['body'])}"


def answered(end: LineEnd) -> Json:
    """The output's line."""
    if end.result is None or end.job_id is None or end.finished_at is None:
        raise ValueError("the line has no answer")
    created = int(end.finished_at.timestamp())
    body = _reply(end.job_id, created, end.result, end.echo)
    return answered_line(end.job_id, end.custom_id, body)


def _reply(job_id: str, created: int, result: Mapping[str, Any], echo: Mapping[str, Any]) -> Json:
    if REPEATED in echo:
        job = Snapshot(
            job_id=job_id,
            state=JobState.SUCCEEDED,
            began=True,
            created=created,
            ended=created,
            model=result["model"],
            result=result,
        )
        return response_of(job, echo[REPEATED])
    return reply_of(
        echo["url"], job_id, created, result, encoding_format=echo.get("encoding_format")
    )


def unanswered(end: LineEnd) -> Json:
    """The error file's line."""
    place = f"line_{end.number}"
    return unanswered_line(end.job_id, end.custom_id, end.state, end.kind, end.message, place)
