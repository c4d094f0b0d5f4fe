"""The event bus: one worker at a time tells every event once to each who listens, in order."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database, is_connection_loss
from shared.db.outbox import (
    Event,
    count_events,
    end_missed,
    mark_told,
    miss_again,
    note_missed,
    publish_alone,
    read_behind,
    read_missed,
    read_untold,
)
from worker.delivery.fanout import fan_out
from worker.delivery.rounds import rounds

log = structlog.get_logger(__name__)

POLL: Final = 1.0
GAP: Final = 0.25
"""Seconds between two rounds: under load it is one transaction for all that came meanwhile."""
BATCH: Final = 500
AGAIN: Final = 100
"""Missed events that a round hands out once more."""

Subscriber = Callable[[AsyncConnection, Sequence[Event]], Awaitable[None]]
"""Hears events in the transaction in which they are told: what it writes there is written once."""


async def write_down(_: AsyncConnection, events: Sequence[Event]) -> None:
    """One line in the log for each, of ids alone."""
    for event in events:
        log.debug(
            "event_told",
            what=event.name,
            tenant_id=event.tenant_id,
            subject=event.subject,
            state_version=event.state_version,
        )


SUBSCRIBERS: Final[Mapping[str, Subscriber]] = {
    "webhooks": fan_out,
    "metrics": count_events,
    "log": write_down,
}
"""By the names under which it is kept what they missed: a row more tells one more."""


class EventBus:
    """Publishes until cancelled; of all workers one does at a time."""

    def __init__(
        self,
        database: Database,
        told: Callable[[], None],
        subscribers: Mapping[str, Subscriber] = SUBSCRIBERS,
    ) -> None:
        """`told` hears that events were told, after their commit."""
        self._database = database
        self._told = told
        self._subscribers = subscribers
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """Something may have happened."""
        self._bell.set()

    async def run(self) -> None:
        """Tell what happens, soon after it did."""
        await rounds(self.visit, self._bell, every=POLL, gap=GAP)

    async def visit(self) -> None:
        """All that nobody was told of. Raises database errors: the next round repeats it."""
        count: int | None = BATCH
        while count == BATCH:
            async with self._database.transaction() as connection:
                count = await publish(connection, self._subscribers)
            if count is None:
                # Whoever publishes may have read before the last events were there.
                self.ring()
            elif count:
                self._told()


async def publish(
    connection: AsyncConnection, subscribers: Mapping[str, Subscriber] = SUBSCRIBERS
) -> int | None:
    """Tell the oldest untold events to each subscriber; how many, None: somebody else publishes.

    All happens in the caller's transaction: it is told and written down, or neither.
    """
    if not await publish_alone(connection):
        return None
    await _tell_missed(connection, subscribers)
    events = await read_untold(connection, limit=BATCH)
    if not events:
        return 0
    behind = await read_behind(connection, events)
    for name, subscriber in subscribers.items():
        late = [event for event in events if (name, event.number) in behind]
        fresh = [event for event in events if (name, event.number) not in behind]
        if fresh and not await _heard(connection, name, subscriber, fresh):
            late = events
        if late:
            await note_missed(connection, name, late)
    await mark_told(connection, events)
    return len(events)


async def _tell_missed(connection: AsyncConnection, subscribers: Mapping[str, Subscriber]) -> None:
    """Hand to each, one by one, what it broke on before; after a day no more."""
    for missed in await read_missed(connection, limit=AGAIN):
        subscriber = subscribers.get(missed.subscriber)
        heard = subscriber is None or await _heard(
            connection, missed.subscriber, subscriber, [missed.event]
        )
        if heard:
            await end_missed(connection, missed)
        elif missed.last_time:
            log.error("event_given_up", what=missed.subscriber, subject=missed.event.subject)
            await end_missed(connection, missed)
        else:
            await miss_again(connection, missed)


async def _heard(
    connection: AsyncConnection, name: str, subscriber: Subscriber, events: Sequence[Event]
) -> bool:
    """Whether it heard them; one that breaks loses what it wrote of them, and nobody else does."""
    try:
        async with connection.begin_nested():
            await subscriber(connection, events)
    except Exception as error:
        if is_connection_loss(error):
            raise
        log.exception("subscriber_broke", what=name, count=len(events))
        return False
    return True
