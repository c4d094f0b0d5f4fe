"""A job's events as they happen, over HTTP: server-sent events that can be resumed."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.deps import AnyParts, Parts, Reader
from api.errors import error_responses
from api.jobs.find import find_job
from api.jobs.narrator import KEEP_ALIVE, RETRY, EventName, Narrator, event
from api.jobs.watchers import POLL_SECONDS, Watch, Watchers
from shared.db.engine import is_connection_loss
from shared.db.tenants import Caller
from shared.db.watch import Standing, is_streamed
from shared.domain.errors import InvalidRequestError
from shared.domain.job import JobState
from shared.doorbell import rings
from shared.streamlog import READ_AT_ONCE, EntryKind, Position

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

KEEP_ALIVE_SECONDS: Final = 15.0
MOST_SECONDS: Final = 3600.0
"""A stream that lasts longer ends and is asked for again: a key may have been revoked."""
PATIENCE_SECONDS: Final = 2.0
"""How long the end of a log may come later than the end of its job."""
WAITING: Final = frozenset({JobState.SCHEDULED, JobState.QUEUED})
"""Nothing is written to the log of a job that waits; it is looked at all the same."""
LONG_AGO: Final = 10.0
"""Who ended so many seconds ago has nothing on its way any more."""


class EventStream(StreamingResponse):
    """Server-sent events; whoever goes is forgotten at once."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes], ended: Callable[[], None]) -> None:
        """`ended` is called when nobody listens any more, even if nobody ever did."""
        # Proxies would collect events before they pass them on.
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(events, headers=headers)
        self._events = events
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, and close their source however that ends."""
        try:
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)
        finally:
            self._ended()


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
    async with parts.database.transaction() as connection:
        streamed = await is_streamed(connection, job_id)
    watch = parts.watchers.admit(job_id, caller.tenant_id)
    told = _events(parts, caller, watch, Narrator(last), streamed=streamed)
    return EventStream(told, partial(parts.watchers.forget, watch))


def _position(text: str | None) -> Position | None:
    if not text:
        return None
    position = Position.parse(text)
    if position is None:
        raise InvalidRequestError("after: this is no id of an event", field="after")
    return position


async def _events(
    parts: Parts, caller: Caller, watch: Watch, narrator: Narrator, *, streamed: bool
) -> AsyncGenerator[bytes]:
    """Everything until the end of the job, of this stream or of this process."""
    yield RETRY
    async with aclosing(_news(parts.watchers, watch, narrator, streamed=streamed)) as told:
        async for news in told:
            yield news
    standing = watch.standing
    if standing is None or not standing.final or parts.watchers.leaving:
        return
    if streamed and not narrator.has_heard_all(standing):
        yield b"".join(narrator.rewind())
    try:
        job = await find_job(parts, caller, watch.job_id)
    except Exception as error:
        if is_connection_loss(error):
            return  # who comes back is told
        raise
    yield event(EventName.END, job.model_dump_json())


async def _news(
    watchers: Watchers, watch: Watch, narrator: Narrator, *, streamed: bool
) -> AsyncGenerator[bytes]:
    """What happens, at the pace of who listens, until the job has ended and all is told."""
    end_of_stream, patience, told_at = monotonic() + MOST_SECONDS, Patience(), monotonic()
    await rings(watch.news, POLL_SECONDS)  # where the job stands is told first
    while monotonic() < end_of_stream and not watchers.leaving:
        watch.news.clear()
        entries = await watchers.read(watch.job_id, narrator.last) if streamed else []
        standing = watch.standing
        if news := b"".join((*narrator.standing(standing), *narrator.tell(entries))):
            yield news
            told_at = monotonic()
        if any(entry.kind is not EntryKind.DELTA for entry in entries):
            watchers.look_at(watch.job_id)
        if len(entries) == READ_AT_ONCE:
            continue
        if standing and patience.is_over(standing, narrator, streamed=streamed):
            return
        quiet = told_at + KEEP_ALIVE_SECONDS - monotonic()
        runs = standing is None or standing.state not in WAITING
        await rings(watch.news, min(quiet, POLL_SECONDS) if runs else quiet)
        if monotonic() - told_at >= KEEP_ALIVE_SECONDS:
            yield KEEP_ALIVE
            told_at = monotonic()


class Patience:
    """How long to wait for the end of the log of a job that has ended."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_over(self, standing: Standing, narrator: Narrator, *, streamed: bool) -> bool:
        """Whether nothing more is worth waiting for."""
        if not (standing.final and streamed):
            return standing.final
        self._since = self._since or monotonic()
        return (
            narrator.has_heard_all(standing)
            or (standing.ended_ago or 0.0) > LONG_AGO
            or monotonic() - self._since > PATIENCE_SECONDS
        )
