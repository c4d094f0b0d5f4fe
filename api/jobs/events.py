"""A job's events as they happen, over HTTP: server-sent events that can be resumed."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query

from api.deps import AnyParts, Reader
from api.errors import error_responses
from api.jobs.find import find_job
from api.jobs.narrator import RETRY, Narrator
from api.jobs.telling import EventStream, stream_of
from shared.domain.errors import InvalidRequestError
from shared.streamlog import Position

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/events",
    operation_id="watch_job",
    summary="Watch a job",
    status_code=200,
    response_class=EventStream,
    responses=error_responses(400, 404, 429),
)
async def watch_job(
    parts: AnyParts,
    caller: Reader,
    job_id: Annotated[str, Path(max_length=64)],
    after: Annotated[str | None, Query(max_length=32, description="As Last-Event-ID")] = None,
    last_event_id: Annotated[str | None, Header(max_length=32)] = None,
) -> EventStream:
    """`state`, `begin`, `delta`, `rewind` and at last `end`, whose data is the job.

    Where the request has `stream: true`, the answer comes in deltas. After a `rewind`, what
    was told of it is void. Come back with the last id as `Last-Event-ID`.
    """
    last = _position(last_event_id or after)
    await find_job(parts, caller, job_id)
    return await stream_of(parts, caller, job_id, Narrator(last), hello=RETRY)


def _position(text: str | None) -> Position | None:
    if not text:
        return None
    position = Position.parse(text)
    if position is None:
        raise InvalidRequestError("after: this is no id of an event", field="after")
    return position
