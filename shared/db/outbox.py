"""The outbox of events: what happened, read in order by one publisher, heard once by each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.job import JobState

PUBLISH_LOCK: Final = 0x6576656E
"""Of Postgres' advisory locks: one publishes at a time in the whole cluster."""
GIVE_UP_HOURS: Final = 24
"""After so long an event that broke a subscriber is not handed to it again."""
LONGEST_PAUSE: Final = 3600.0
BUS_NAMES: Final = {
    f"job.{JobState.SUCCEEDED}": "generation.completed",
    f"job.{JobState.FAILED}": "generation.failed",
    f"job.{JobState.CANCELLED}": "generation.cancelled",
    f"job.{JobState.EXPIRED}": "generation.expired",
}
"""What the bus calls the ends of jobs; every other event is called what it was written as."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; of one subject a later event has the greater state_version."""

    number: int
    """Where it stands in the outbox."""
    tenant_id: str
    subject: str
    """The id of the job, batch or endpoint that it happened to."""
    type: str
    """As it was written, such as `job.succeeded`."""
    state_version: int
    at: datetime

    @property
    def name(self) -> str:
        """What the bus calls it."""
        return BUS_NAMES.get(self.type, self.type)


ALONE: Final = text("SELECT pg_try_advisory_xact_lock(:lock)").bindparams(lock=PUBLISH_LOCK)
COLUMNS: Final = "events.id, events.tenant_id, events.job_id, events.type, state_version, at"

# A job's events are written under its row lock, so their ids have the order of its moves, and
# none becomes visible after one that followed it.
UNTOLD: Final = text(f"""
SELECT {COLUMNS} FROM events WHERE told_at IS NULL ORDER BY id LIMIT :limit
""")
TELL: Final = text("""
UPDATE events SET told_at = clock_timestamp()
WHERE id = ANY(CAST(:numbers AS bigint[])) AND told_at IS NULL
""")
ANNOUNCE: Final = text("""
INSERT INTO events (tenant_id, job_id, type, state_version)
VALUES (:tenant_id, :subject, :type, :state_version)
""")

# Who missed an event of a job waits with the later ones of that job, too.
BEHIND: Final = text("""
SELECT DISTINCT missed.subscriber, fresh.number
FROM unnest(CAST(:numbers AS bigint[]), CAST(:subjects AS text[])) AS fresh(number, subject)
JOIN events ON events.job_id = fresh.subject
JOIN events_missed AS missed ON missed.event_id = events.id
WHERE EXISTS (SELECT FROM events_missed)
""")
MISS: Final = text("""
INSERT INTO events_missed (subscriber, event_id)
SELECT :subscriber, unnest(CAST(:numbers AS bigint[]))
""")
MISSED: Final = text(f"""
SELECT {COLUMNS}, subscriber, tries,
       missed.since < now() - make_interval(hours => :hours) AS last_time
FROM events_missed AS missed JOIN events ON events.id = event_id
WHERE next_at <= now() AND NOT EXISTS (
    SELECT FROM events_missed AS earlier JOIN events AS former ON former.id = earlier.event_id
    WHERE earlier.subscriber = missed.subscriber AND former.job_id = events.job_id
      AND former.id < events.id
)
ORDER BY events.id LIMIT :limit
""").bindparams(hours=GIVE_UP_HOURS)
AGAIN: Final = text("""
UPDATE events_missed SET tries = tries + 1, next_at = clock_timestamp()
    + make_interval(secs => least(power(2, least(tries, 20)), CAST(:longest AS float8)))
WHERE subscriber = :subscriber AND event_id = :number
""").bindparams(longest=LONGEST_PAUSE)
HEARD: Final = text("""
DELETE FROM events_missed WHERE subscriber = :subscriber AND event_id = :number
""")

COUNT: Final = text("""
INSERT INTO event_counts AS old (type, count)
SELECT type, count(*) FROM unnest(CAST(:types AS text[])) AS type GROUP BY type ORDER BY type
ON CONFLICT (type) DO UPDATE SET count = old.count + excluded.count
""")
COUNTS: Final = text("SELECT type, count AS told FROM event_counts ORDER BY type")


@dataclass(frozen=True, slots=True)
class Missed:
    """An event that a subscriber broke on, to be handed to it alone."""

    subscriber: str
    event: Event
    last_time: bool


async def announce(
    connection: AsyncConnection, tenant_id: str, subject: str, kind: str, *, state_version: int = 0
) -> None:
    """Write that something happened, in the transaction in which it does."""
    values = {
        "tenant_id": tenant_id, "subject": subject, "type": kind, "state_version": state_version,
    }  # fmt: skip
    await connection.execute(ANNOUNCE, values)


async def publish_alone(connection: AsyncConnection) -> bool:
    """Whether nobody else publishes until this transaction ends."""
    return bool((await connection.execute(ALONE)).scalar_one())


async def read_untold(connection: AsyncConnection, *, limit: int) -> list[Event]:
    """The oldest events that nobody was told of."""
    return [_event(row) for row in await connection.execute(UNTOLD, {"limit": limit})]


async def mark_told(connection: AsyncConnection, events: Collection[Event]) -> None:
    """They are nobody's to tell any more."""
    await connection.execute(TELL, {"numbers": [event.number for event in events]})


async def read_behind(connection: AsyncConnection, events: Sequence[Event]) -> set[tuple[str, int]]:
    """By subscriber and number: those of which an earlier event of the same subject was missed."""
    asked = {
        "numbers": [event.number for event in events],
        "subjects": [event.subject for event in events],
    }
    return {(row.subscriber, row.number) for row in await connection.execute(BEHIND, asked)}


async def note_missed(
    connection: AsyncConnection, subscriber: str, events: Collection[Event]
) -> None:
    """This subscriber gets them again, one by one."""
    values = {"subscriber": subscriber, "numbers": [event.number for event in events]}
    await connection.execute(MISS, values)


async def read_missed(connection: AsyncConnection, *, limit: int) -> list[Missed]:
    """What is due again: of each subject the oldest that its subscriber missed."""
    rows = await connection.execute(MISSED, {"limit": limit})
    return [Missed(row.subscriber, _event(row), row.last_time) for row in rows]


async def end_missed(connection: AsyncConnection, missed: Missed) -> None:
    """It was heard, or will not be."""
    await connection.execute(HEARD, _which(missed))


async def miss_again(connection: AsyncConnection, missed: Missed) -> None:
    """It is handed to its subscriber once more, each time after a longer pause."""
    await connection.execute(AGAIN, _which(missed))


async def count_events(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Add to the counts by name."""
    await connection.execute(COUNT, {"types": [event.name for event in events]})


async def read_counts(connection: AsyncConnection) -> Sequence[Row[Any]]:
    """How many events of each name, `type` and `told`, there ever were."""
    return (await connection.execute(COUNTS)).all()


def _event(row: Row[Any]) -> Event:
    return Event(row.id, row.tenant_id, row.job_id, row.type, row.state_version, row.at)


def _which(missed: Missed) -> dict[str, Any]:
    return {"subscriber": missed.subscriber, "number": missed.event.number}
