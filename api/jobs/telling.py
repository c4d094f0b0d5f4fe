"""A job told while it runs, over HTTP, in whatever words its listener knows."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import Final, Protocol

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.deps import Parts
from api.jobs.find import find_job, not_yet
from api.jobs.schemas import JobRead
from api.jobs.watchers import POLL_SECONDS, Watch, Watchers
from shared.db.engine import is_connection_loss
from shared.db.tenants import Caller
from shared.db.watch import Standing, is_streamed
from shared.domain.job import JobState
from shared.doorbell import rings
from shared.streamlog import READ_AT_ONCE, Entry, EntryKind, Position

KEEP_ALIVE: Final = b": keep-alive\n\n"
KEEP_ALIVE_SECONDS: Final = 15.0
MOST_SECONDS: Final = 3600.0
"""A stream that lasts longer ends and is asked for again: a key may have been revoked."""
PATIENCE_SECONDS: Final = 2.0
"""How long the end of a log may come later than the end of its job."""
WAITING: Final = frozenset({JobState.SCHEDULED, JobState.QUEUED})
"""Nothing is written to the log of a job that waits; it is looked at all the same."""
LONG_AGO: Final = 10.0
"""Who ended so many seconds ago has nothing on its way any more."""


class Teller(Protocol):
    """Says in one dialect what happens to a job; it remembers what it has said."""

    last: Position
    """The last entry of the log that it has heard."""
    over: bool
    """Nothing that comes now can be told any more: the stream ends here."""

    def tell(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """What follows from entries of the log, which follow the last."""
        ...

    def standing(self, standing: Standing | None) -> Iterator[bytes]:
        """What follows from where the job stands now."""
        ...

    def rewind(self) -> Iterator[bytes]:
        """Some of the log is lost."""
        ...

    def has_heard_all(self, standing: Standing) -> bool:
        """Whether the log of a job that has ended was read to its end."""
        ...

    def cut(self) -> bytes:
        """The stream ends here and the job does not; nothing, where it can be taken up again."""
        ...

    def end(self, job: JobRead) -> bytes:
        """The job has ended; what it raises is the reply, where nothing was said yet."""
        ...


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


async def stream_of(
    parts: Parts, caller: Caller, job_id: str, teller: Teller, *, hello: bytes = b""
) -> EventStream:
    """All that the teller says of a job of the caller, from its last position to the job's end.

    With a `hello` the stream begins at once. Without, it begins with what is first told, so that
    a job that fails before is an error of its own. Raises TooManyStreamsError, what `teller.end`
    raises, and NotYetError where nothing is told in the time that a face waits.
    """
    async with parts.database.transaction() as connection:
        streamed = await is_streamed(connection, job_id)
    watch = parts.watchers.admit(job_id, caller.tenant_id)
    told = _told(parts, caller, watch, teller, streamed=streamed)
    forget = partial(parts.watchers.forget, watch)
    if not hello:
        try:
            hello = await _first(told, job_id, parts.settings.api.sync_wait)
        except BaseException:
            forget()
            raise
    return EventStream(_after(hello, told), forget)


async def _first(told: AsyncGenerator[bytes], job_id: str, seconds: float) -> bytes:
    """What is told first; a sign of life is no reply yet."""
    try:
        async with asyncio.timeout(seconds):
            async for piece in told:
                if piece is not KEEP_ALIVE:
                    return piece
    except TimeoutError:
        raise not_yet(job_id) from None
    return b""


async def _after(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _told(
    parts: Parts, caller: Caller, watch: Watch, teller: Teller, *, streamed: bool
) -> AsyncGenerator[bytes]:
    """Everything until the end of the job, of this stream or of this process."""
    async with aclosing(_news(parts.watchers, watch, teller, streamed=streamed)) as told:
        async for news in told:
            yield news
    if not teller.over and (last := await _ending(parts, caller, watch, teller, streamed=streamed)):
        yield last


async def _ending(
    parts: Parts, caller: Caller, watch: Watch, teller: Teller, *, streamed: bool
) -> bytes:
    """What is told last: the end of the job, or that it is not told here."""
    standing = watch.standing
    if standing is None or not standing.final or parts.watchers.leaving:
        return teller.cut()
    heard_all = not streamed or teller.has_heard_all(standing)
    lost = b"" if heard_all else b"".join(teller.rewind())
    if teller.over:
        return lost
    try:
        job = await find_job(parts, caller, watch.job_id)
    except Exception as error:
        if is_connection_loss(error):
            return lost + teller.cut()
        raise
    return lost + teller.end(job)


async def _news(
    watchers: Watchers, watch: Watch, teller: Teller, *, streamed: bool
) -> AsyncGenerator[bytes]:
    """What happens, at the pace of who listens, until the job has ended and all is told."""
    end_of_stream, patience, told_at = monotonic() + MOST_SECONDS, Patience(), monotonic()
    await rings(watch.news, POLL_SECONDS)  # where the job stands is told first
    while monotonic() < end_of_stream and not watchers.leaving:
        watch.news.clear()
        entries = await watchers.read(watch.job_id, teller.last) if streamed else []
        standing = watch.standing
        if news := b"".join((*teller.standing(standing), *teller.tell(entries))):
            yield news
            told_at = monotonic()
        if teller.over:
            return
        if any(entry.kind is not EntryKind.DELTA for entry in entries):
            watchers.look_at(watch.job_id)
        if len(entries) == READ_AT_ONCE:
            continue
        if standing and patience.is_over(standing, teller, streamed=streamed):
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

    def is_over(self, standing: Standing, teller: Teller, *, streamed: bool) -> bool:
        """Whether nothing more is worth waiting for."""
        if not (standing.final and streamed):
            return standing.final
        self._since = self._since or monotonic()
        return (
            teller.has_heard_all(standing)
            or (standing.ended_ago or 0.0) > LONG_AGO
            or monotonic() - self._since > PATIENCE_SECONDS
        )
