"""Why a job stands where it stands: its attempts and what goes before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.ids import IdKind, first_id
from shared.routing.stored import StoredPolicy, input_at

MOST_COUNTED: Final = 10_000
"""A queue is counted no further than this: the answer stays cheap however long it is."""

ATTEMPTS = text("""
SELECT id, state, deployment, worker_id, planned_at, sent_at, ended_at, failure_kind, error,
       cost_nano, hold_nano, latency_ms
FROM attempts WHERE job_id = :job_id AND tenant_id = :tenant_id ORDER BY epoch
""")

FAILURES = text("""
SELECT deployment, failure_kind, error, ended_at
FROM attempts WHERE job_id = :job_id AND failure_kind IS NOT NULL ORDER BY epoch
""")

# What stands before it in the dispatcher's peek: the more urgent lanes of its tenant, and the
# older jobs of its own lane.
AHEAD = text("""
SELECT count(*) FROM (
    SELECT FROM jobs
    WHERE state = 'queued' AND open_attempt IS NULL AND route = :route
      AND tenant_id = :tenant_id AND (lane < :lane OR (lane = :lane AND id < :job_id))
    LIMIT :most
) AS ahead
""")

SHARED = text("""
SELECT count(*) FROM tenants
WHERE id <> :tenant_id AND EXISTS (
    SELECT FROM jobs
    WHERE state = 'queued' AND open_attempt IS NULL AND route = :route
      AND lane <= :lane AND tenant_id = tenants.id)
""")

ENDS = text("SELECT nullif(ends_at, 'infinity') AS ends_at FROM budget_windows WHERE id = :id")

# Each half has an index of its own.
IN_FLIGHT = text("""
SELECT (SELECT count(*) FROM attempts
        WHERE state = 'planned' AND deployment = ANY(CAST(:deployments AS text[])))
     + (SELECT count(*) FROM attempts
        WHERE state = 'sent' AND deployment = ANY(CAST(:deployments AS text[])))
""")

# Ids are sorted by time: only the newest are looked at.
PACE = text("""
SELECT count(*) FROM attempts
WHERE id > :since AND deployment = ANY(CAST(:deployments AS text[]))
  AND sent_at > clock_timestamp() - make_interval(secs => :seconds)
""")
LOOK_BACK: Final = timedelta(minutes=10)
"""A call that was released longer ago is not looked for."""

PLACE = text("""
SELECT tenant_id, key_id, id AS job_id, route, lane, isolated, tried,
       coalesce(unfit, '{}') AS unfit, project, batch, coalesce(tags, '{}') AS tags, web_search,
       open_attempt IS NOT NULL AS released, policy, error_kind, input_tokens, max_tokens
FROM jobs WHERE id = :job_id AND tenant_id = :tenant_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job waits."""

    tenant_id: str
    key_id: str | None
    job_id: str
    route: str
    lane: int
    isolated: bool
    tried: tuple[str, ...]
    """Deployments that it shall not meet again."""
    unfit: tuple[str, ...]
    """Deployments that cannot take it."""
    released: bool
    """An attempt is minted; a worker takes it next."""
    policy: StoredPolicy | None
    last_failure: str | None
    input_tokens: int
    max_tokens: int
    web_search: bool
    project: str | None
    batch: str | None
    tags: tuple[str, ...]

    def input_at(self, deployment: str) -> int:
        """The input tokens of its next call there, at the most."""
        return input_at(self.policy, deployment, self.input_tokens, self.last_failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What is before a job that waits for its turn."""

    ahead: int
    """Its tenant's jobs that go first; MOST_COUNTED means that many or more."""
    other_tenants: int
    """How many tenants share the route with it, in its lane or a more urgent one."""


async def read_attempts(connection: AsyncConnection, tenant_id: str, job_id: str) -> list[Row[Any]]:
    """The attempts of a job of the tenant, the first first."""
    found = await connection.execute(ATTEMPTS, {"tenant_id": tenant_id, "job_id": job_id})
    return list(found)


async def read_failures(connection: AsyncConnection, job_id: str) -> list[Row[Any]]:
    """Why each of its failed attempts failed, the first first; its owner was asked for before."""
    return list(await connection.execute(FAILURES, {"job_id": job_id}))


async def queue_before(connection: AsyncConnection, place: Place) -> Queue:
    """What goes before the job on its route, as it stands now."""
    values = {
        "tenant_id": place.tenant_id, "job_id": place.job_id, "route": place.route,
        "lane": place.lane,
    }  # fmt: skip
    ahead = await connection.execute(AHEAD, {**values, "most": MOST_COUNTED})
    shared = await connection.execute(SHARED, values)
    return Queue(ahead=ahead.scalar_one(), other_tenants=shared.scalar_one())


async def read_place(connection: AsyncConnection, tenant_id: str, job_id: str) -> Place | None:
    """Where a job of the tenant waits; None for any other id."""
    found = await connection.execute(PLACE, {"tenant_id": tenant_id, "job_id": job_id})
    row = found.one_or_none()
    if row is None:
        return None
    return Place(
        tenant_id=row.tenant_id,
        key_id=row.key_id,
        job_id=row.job_id,
        route=row.route,
        lane=row.lane,
        isolated=row.isolated,
        tried=tuple(row.tried),
        unfit=tuple(row.unfit),
        released=row.released,
        policy=StoredPolicy.from_json(row.policy) if row.policy else None,
        last_failure=row.error_kind,
        input_tokens=row.input_tokens,
        max_tokens=row.max_tokens,
        web_search=row.web_search,
        project=row.project,
        batch=row.batch,
        tags=tuple(row.tags),
    )


async def pace(
    connection: AsyncConnection, deployments: Sequence[str], now: datetime, seconds: float
) -> int:
    """The calls that were sent to these deployments in the last so many seconds."""
    since = first_id(IdKind.ATTEMPT, now - LOOK_BACK)
    asked = {"since": since, "deployments": list(deployments), "seconds": seconds}
    count: int = (await connection.execute(PACE, asked)).scalar_one()
    return count


async def in_flight(connection: AsyncConnection, deployments: Sequence[str]) -> int:
    """The open attempts of these deployments, of all tenants."""
    found = await connection.execute(IN_FLIGHT, {"deployments": list(deployments)})
    count: int = found.scalar_one()
    return count


async def ends_at(connection: AsyncConnection, window_id: int) -> datetime | None:
    """When a window of a budget turns; None: never, or it is not open yet."""
    ends: datetime | None = (await connection.execute(ENDS, {"id": window_id})).scalar_one_or_none()
    return ends
