"""How the mill is doing right now: rates of the last minute, open work by route, workers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.attempt import AttemptState
from shared.domain.ids import IdKind, first_id
from shared.domain.job import JobState

LOOK_BACK: Final = timedelta(minutes=15)
"""Ids tell their time: calls that were released longer ago are not looked for."""

RATES: Final = text("""
SELECT count(*) AS calls,
       count(*) FILTER (WHERE state = :answered) AS answered,
       coalesce(sum((usage->>'input_tokens')::bigint
                    + (usage->>'output_tokens')::bigint), 0)::bigint AS tokens,
       coalesce(sum(cost_nano), 0)::bigint AS cost_nano
FROM attempts
WHERE id > :since AND ended_at > clock_timestamp() - interval '1 minute'
""").bindparams(answered=AttemptState.ANSWERED)

OPEN: Final = text("""
SELECT route, state, count(*) AS jobs FROM jobs
WHERE state IN (:scheduled, :queued, :running) GROUP BY route, state
""").bindparams(scheduled=JobState.SCHEDULED, queued=JobState.QUEUED, running=JobState.RUNNING)

WORKERS: Final = text("""
SELECT workers.host, workers.pid, workers.queues, workers.capacity,
       extract(epoch FROM clock_timestamp() - workers.heartbeat_at)::float8 AS silent,
       (SELECT count(*) FROM attempts WHERE worker_id = workers.id AND state = :sent) AS used
FROM workers WHERE workers.state = 'alive' ORDER BY workers.started_at
""").bindparams(sent=AttemptState.SENT)


@dataclass(frozen=True, slots=True)
class Rates:
    """Of the calls that ended within the last minute."""

    calls: int
    answered: int
    tokens: int
    cost_nano: int


@dataclass(frozen=True, slots=True)
class WorkerPulse:
    """One living worker."""

    host: str
    pid: int
    queues: list[str]
    capacity: int
    silent: float
    """Seconds since its heartbeat."""
    used: int
    """Calls in flight."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """All tenants together: an operator's view."""

    rates: Rates
    routes: Mapping[str, Mapping[str, int]]
    """By route and state: jobs that are not final."""
    workers: list[WorkerPulse]


async def pulse(connection: AsyncConnection, now: datetime) -> Pulse:
    """Three statements, none of which reads what is final."""
    since = first_id(IdKind.ATTEMPT, now - LOOK_BACK)
    rates = (await connection.execute(RATES, {"since": since})).one()
    routes: dict[str, dict[str, int]] = {}
    for row in await connection.execute(OPEN):
        routes.setdefault(row.route, {})[row.state] = row.jobs
    workers = await connection.execute(WORKERS)
    return Pulse(Rates(*rates), routes, [WorkerPulse(*row) for row in workers])
