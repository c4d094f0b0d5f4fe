"""What Redis gets back after a loss of its memory: what is open, the day's counts, newest ends."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment
from shared.catalog.limits import day_around
from shared.domain.attempt import OPEN_ATTEMPTS, AttemptState
from shared.domain.failure import BLAME, Blame, FailureKind
from shared.domain.ids import IdKind, first_id
from shared.meters.gauges import MICROS
from shared.meters.meter import DayCount, Slot

LONGEST_CALL: Final = timedelta(hours=1)
"""Ids tell when attempts were planned: those that ended lately are looked for so far back."""
NEWEST: Final = 100
"""Ends of each deployment, for its breaker."""

OPEN = text("""
SELECT id, deployment, queue FROM attempts WHERE state = ANY(CAST(:open AS text[]))
""").bindparams(open=sorted(OPEN_ATTEMPTS))

# Ids are sorted by time: a day is a range of the primary key.
OF_DAY = text("""
SELECT deployment, count(*) AS requests FROM attempts
WHERE id >= :first AND deployment = ANY(CAST(:deployments AS text[])) AND state <> :returned
GROUP BY deployment
""").bindparams(returned=AttemptState.RETURNED)

ENDS = text("""
SELECT deployment, state, failure_kind FROM (
    SELECT deployment, state, failure_kind, ended_at,
           row_number() OVER (PARTITION BY deployment ORDER BY ended_at DESC) AS place
    FROM attempts
    WHERE id >= :first AND state <> :returned
      AND ended_at > clock_timestamp() - make_interval(secs => :seconds)
) AS ends WHERE place <= :newest
ORDER BY ended_at
""").bindparams(returned=AttemptState.RETURNED, newest=NEWEST)


@dataclass(frozen=True, slots=True)
class Memory:
    """As of now."""

    slots: list[Slot]
    days: list[DayCount]
    outcomes: dict[str, list[Blame]] = field(default_factory=dict)
    """By deployment, the newest last."""


async def read_memory(
    connection: AsyncConnection,
    deployments: Iterable[Deployment],
    now: datetime,
    *,
    seconds: float,
) -> Memory:
    """All that the meters and breakers of these can be told; ends of the last `seconds`."""
    rows = await connection.execute(OPEN)
    memory = Memory(
        [Slot(row.id, row.deployment, row.queue) for row in rows],
        await _days(connection, deployments, now),
    )
    first = first_id(IdKind.ATTEMPT, now - LONGEST_CALL)
    for row in await connection.execute(ENDS, {"first": first, "seconds": seconds}):
        blame = _blame(row.state, row.failure_kind)
        memory.outcomes.setdefault(row.deployment, []).append(blame)
    return memory


async def _days(
    connection: AsyncConnection, deployments: Iterable[Deployment], now: datetime
) -> list[DayCount]:
    """The requests of the day of each that has a limit of them."""
    zones: dict[str, set[str]] = {}
    for each in deployments:
        if each.limits.requests_per_day:
            zones.setdefault(each.limits.day_zone, set()).add(each.id)
    found = []
    for zone, ids in zones.items():
        since, until = day_around(now, zone)
        asked = {"first": first_id(IdKind.ATTEMPT, since), "deployments": sorted(ids)}
        for row in await connection.execute(OF_DAY, asked):
            begin, end = (round(each.timestamp() * MICROS) for each in (since, until))
            found.append(DayCount(row.deployment, row.requests, begin, end))
    return found


def _blame(state: str, failure_kind: str | None) -> Blame:
    if failure_kind is not None:
        return BLAME[FailureKind(failure_kind)]
    return Blame.ANSWERED if state == AttemptState.ANSWERED else Blame.NOTHING
