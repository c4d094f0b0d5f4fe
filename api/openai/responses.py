"""OpenAI's Responses over jobs: make, read, watch, cancel, delete."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import ORJSONResponse

from api.bodies import body_of
from api.deps import AnyParts, Parts, Reader, Writer
from api.error_shapes import Dialect
from api.errors import WAITING, error_responses
from api.faces.ask import Ask, answer, ask, extension_of
from api.faces.heads import dropped, head_of
from api.jobs.find import find_job, job_after
from api.jobs.parse import parse_json
from api.jobs.telling import EventStream, stream_of
from api.openai.generate import labels_of, without_extension
from api.openai.responses_find import Found, find_response, input_items, turns_before
from api.openai.responses_schemas import (
    RESPONSE_EXAMPLE,
    InputItems,
    ResponseCreate,
    ResponseDeleted,
    ResponseRead,
)
from api.openai.responses_teller import ResponseTeller
from shared.db.cancel import cancel
from shared.db.echoes import forget_contents
from shared.db.tenants import Caller
from shared.domain.errors import ConflictError, InvalidRequestError, NotFoundError
from shared.domain.face import Face
from shared.domain.job import FINAL_STATES, JobState
from shared.doorbell import Bell
from shared.faces.openai_messages import Json, wanted
from shared.faces.openai_request import Asked
from shared.faces.responses_reply import echo_of
from shared.faces.responses_request import RESPONSES, parameter_of, read_response

router = APIRouter(prefix=RESPONSES, tags=["openai"])
STOP_SECONDS: Final = 5.0
"""How long a reply waits for a running job to hear that it is cancelled."""
ResponseId = Annotated[str, Path(max_length=64, examples=["resp_06gvp37aldqhh801vvaql8icro"])]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return error_responses(*statuses, dialect=Dialect.OPENAI)


EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
"""What a route may give where a stream is asked for."""


@router.post(
    "",
    operation_id="create_response",
    summary="Ask for a response",
    response_model=ResponseRead,
    responses=_errors(*WAITING) | EVENTS,
    openapi_extra=body_of(ResponseCreate, example=RESPONSE_EXAMPLE),
)
async def create_response(
    request: Request, parts: AnyParts, caller: Writer
) -> ORJSONResponse | EventStream:
    """With `background` the reply comes at once; with `stream` it is server-sent events.

    Else it comes with the answer; a 504 names the job that goes on when the time is out.
    """
    raw = await request.body()
    body: Json = wanted(parse_json(raw), dict, "body", "an object")
    _require_kept(body)
    before = await turns_before(parts, caller, body)
    asked = read_response(without_extension(body), lenient=True, before=before)
    echo = echo_of(body, len(before or ()))
    try:
        accepted = await ask(parts, caller, request, _ask(body, raw, asked, echo))
    except InvalidRequestError as error:
        raise _in_own_words(error) from None
    left_out = await dropped(parts, accepted, asked.request, asked.set_aside, parameter_of)
    if body.get("background") or body.get("stream"):
        job = await find_job(parts, caller, accepted.job_id)
    else:
        job = await answer(parts, caller, accepted)
    found = Found(job, echo)
    if job.state is JobState.SUCCEEDED and job.result is None:
        message = f"{found.shown()['id']} was made by an earlier try, and is deleted"
        raise NotFoundError(message)
    if not body.get("stream"):
        return ORJSONResponse(found.shown(), headers=head_of(accepted, left_out, job))
    stream = await _stream(parts, caller, found, None)
    stream.headers.update(head_of(accepted, left_out))
    return stream


@router.get(
    "/{response_id}",
    operation_id="get_response",
    summary="Read a response, or hear it",
    response_model=ResponseRead,
    responses=_errors(400, 404) | EVENTS,
)
async def get_response(
    parts: AnyParts,
    caller: Reader,
    response_id: ResponseId,
    *,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> ORJSONResponse | EventStream:
    """With `stream`, the events after the number `starting_after`, or all from the first."""
    found = await find_response(parts, caller, response_id)
    if stream:
        return await _stream(parts, caller, found, starting_after)
    return ORJSONResponse(found.shown())


@router.post(
    "/{response_id}/cancel",
    operation_id="cancel_response",
    summary="Cancel a response",
    response_model=ResponseRead,
    responses=_errors(400, 404),
)
async def cancel_response(
    parts: AnyParts, caller: Writer, response_id: ResponseId
) -> ORJSONResponse:
    """Of a response in the background; one that has ended is given back as it is."""
    found = await find_response(parts, caller, response_id)
    if not found.echo.get("background"):
        message = f"{response_id} is not made in the background: only such a one can be cancelled"
        raise InvalidRequestError(message, field="response_id")
    return ORJSONResponse((await _stopped(parts, caller, found)).shown())


@router.delete(
    "/{response_id}",
    operation_id="delete_response",
    summary="Delete a response",
    responses=_errors(400, 404, 409),
)
async def delete_response(
    parts: AnyParts, caller: Writer, response_id: ResponseId
) -> ResponseDeleted:
    """What it was asked and answered is let go of; what it cost stays in the ledger.

    One that runs is cancelled first.
    """
    found = await _stopped(parts, caller, await find_response(parts, caller, response_id))
    async with parts.database.transaction() as connection:
        gone = await forget_contents(connection, caller.tenant_id, found.job.id)
    if not gone and found.job.state not in FINAL_STATES:
        message = f"{response_id} is being cancelled; delete it when it has ended"
        raise ConflictError(message)
    return ResponseDeleted(id=response_id)


@router.get(
    "/{response_id}/input_items",
    operation_id="list_response_input_items",
    summary="List what a response was asked",
    responses=_errors(400, 404),
)
async def list_input_items(
    parts: AnyParts,
    caller: Reader,
    response_id: ResponseId,
    after: Annotated[str | None, Query(max_length=128)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> InputItems:
    """The items of its own `input`, the last first; go on with `after` = the last one's id."""
    items = await input_items(parts, caller, await find_response(parts, caller, response_id))
    if order == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        message = f"after: the response has no item {after!r}"
        raise NotFoundError(message, field="after")
    begin = ids.index(after) + 1 if after is not None else 0
    page = items[begin : begin + limit]
    return InputItems(
        data=page,
        first_id=page[0]["id"] if page else None,
        last_id=page[-1]["id"] if page else None,
        has_more=begin + limit < len(items),
    )


def _require_kept(body: Json) -> None:
    """Raises InvalidRequestError for what nobody could come back for."""
    for name in ("background", "store", "stream"):
        if body.get(name) is not None:
            wanted(body[name], bool, name, "true or false")
    if body.get("background") and body.get("store") is False:
        message = "store: a response in the background is read later: it must be stored"
        raise InvalidRequestError(message, field="store")


def _ask(body: Json, raw: bytes, asked: Asked, echo: Json) -> Ask:
    """Nobody waits for what is made in the background: its lane is the standard one."""
    lane = {"lane": "standard"} if body.get("background") else {}
    return Ask(
        face=Face.RESPONSE,
        request={**asked.request, "drop_unsupported": True},
        raw=raw,
        body=body,
        more={**lane, **labels_of(body), **extension_of(body)},
        echo=echo,
    )


def _in_own_words(error: InvalidRequestError) -> InvalidRequestError:
    """The same error by the caller's own parameter, where the field has another name there."""
    if error.field and (own := parameter_of(error.field)) != error.field:
        error.message = error.message.replace(error.field, own, 1)
        error.field = own
    return error


async def _stream(parts: Parts, caller: Caller, found: Found, after: int | None) -> EventStream:
    teller = ResponseTeller(found, after)
    return await stream_of(parts, caller, found.job.id, teller, hello=teller.hello())


async def _stopped(parts: Parts, caller: Caller, found: Found) -> Found:
    """The response after its cancellation, as it is where that came too late or takes its time."""
    job_id = found.job.id
    if found.job.state in FINAL_STATES:
        return found
    async with parts.database.transaction() as connection:
        state, _ = await cancel(connection, caller.tenant_id, job_id)
    if state is JobState.CANCELLED:
        parts.doorbell.ring_soon(Bell.DONE, [job_id])
    parts.doorbell.ring_soon(Bell.CANCEL, [job_id])
    return Found(await job_after(parts, caller, job_id, STOP_SECONDS), found.echo)
