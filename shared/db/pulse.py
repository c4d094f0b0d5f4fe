"""How the mill is doing right now: rates of the last minute, open work by route, workers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.release import due_routes
from shared.domain.attempt import AttemptState
from shared.domain.ids import IdKind, first_id

COUNTED: Final = 100_000
"""Of one route's backlog so many are counted at most: 50 ms."""
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

# Of a long backlog only the first COUNTED are counted; what was released comes from the few
# attempts in flight. Nothing that is final is read.
OPEN: Final = text("""
WITH open AS (
    SELECT job_id, 'released' AS state FROM attempts WHERE state = :planned
    UNION ALL
    SELECT job_id, 'running' FROM attempts WHERE state = :sent
)
SELECT route, 'queued' AS state, (
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE state = 'queued' AND open_attempt IS NULL AND route = due.route
        ORDER BY lane, tenant_id, id LIMIT :most) AS counted) AS jobs
FROM unnest(CAST(:routes AS text[])) AS due (route)
UNION ALL
SELECT jobs.route, open.state, count(*)
FROM open JOIN jobs ON jobs.id = open.job_id GROUP BY jobs.route, open.state
""").bindparams(planned=AttemptState.PLANNED, sent=AttemptState.SENT, most=COUNTED)

SCHEDULED: Final = text("""
SELECT count(*) FROM (
    SELECT FROM jobs WHERE state = 'scheduled' ORDER BY run_at LIMIT :most) AS counted
""").bindparams(most=COUNTED)

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
    """By route: jobs queued (COUNTED at most), released to a worker, running."""
    scheduled: int
    """Jobs that wait for their time; COUNTED at most."""
    workers: list[WorkerPulse]


async def pulse(connection: AsyncConnection, now: datetime) -> Pulse:
    """Some statements; none of them takes longer for what is final or for a longer backlog."""
    since = first_id(IdKind.ATTEMPT, now - LOOK_BACK)
    rates = (await connection.execute(RATES, {"since": since})).one()
    routes: dict[str, dict[str, int]] = {}
    due = await due_routes(connection)
    for row in await connection.execute(OPEN, {"routes": due}):
        routes.setdefault(row.route, {})[row.state] = row.jobs
    scheduled = (await connection.execute(SCHEDULED)).scalar_one()
    workers = await connection.execute(WORKERS)
    return Pulse(Rates(*rates), routes, scheduled, [WorkerPulse(*row) for row in workers])
