"""Providers as they stand: switched on or off by whom, checked when and with what result."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment
from shared.db.reach import Reach, read_reach

WORKER: Final = "worker"
"""Who switched a provider off because its quota is used up."""

KNOW = text("""
INSERT INTO providers (id) SELECT unnest(CAST(:ids AS text[])) ON CONFLICT DO NOTHING
""")

SWITCH = text("""
INSERT INTO providers (id, enabled, reason, changed_by, changed_at)
VALUES (:id, :enabled, :reason, :by, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET enabled = excluded.enabled, reason = excluded.reason,
    changed_by = excluded.changed_by, changed_at = excluded.changed_at
""")

# What a person said stays: the first reason is the one that explains the others.
EXHAUST = text("""
INSERT INTO providers (id, enabled, reason, changed_by, changed_at)
VALUES (:id, false, :reason, :by, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET enabled = false, reason = excluded.reason,
    changed_by = excluded.changed_by, changed_at = excluded.changed_at
WHERE providers.enabled
RETURNING id
""")

ASK = text("""
INSERT INTO providers (id, asked_at) VALUES (:id, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET asked_at = excluded.asked_at
RETURNING asked_at
""")

# Of several workers one gets each check: whoever comes second finds it claimed.
CLAIM = text("""
UPDATE providers SET claimed_at = clock_timestamp()
WHERE id = ANY(CAST(:ids AS text[]))
  AND (claimed_at IS NULL OR asked_at > claimed_at
       OR claimed_at < clock_timestamp() - make_interval(secs => :every))
RETURNING id, claimed_at
""")

# Of two checks that overlap the one counts that began later: the row says when its own began.
CHECKED = text("""
UPDATE providers SET checked_at = clock_timestamp(), latency_ms = :latency_ms, error = :error
WHERE id = :id AND (checked_at IS NULL
                    OR checked_at - make_interval(secs => latency_ms / 1000.0) <= :claimed_at)
""")

STANDINGS = text("""
SELECT id, enabled, reason, changed_by, changed_at, checked_at, latency_ms, error
FROM providers
""")

# Ids are sorted by time: the newest are the primary key's end, however many there are.
CALLS = text("""
SELECT split_part(deployment, '/', 1) AS provider, count(*) AS calls,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms)::int AS median_ms,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms)::int AS p95_ms
FROM (SELECT deployment, state, latency_ms FROM attempts ORDER BY id DESC LIMIT :newest) AS newest
WHERE state = 'answered' AND latency_ms IS NOT NULL
GROUP BY provider
""")
NEWEST_CALLS: Final = 1000


@dataclass(frozen=True, slots=True)
class Claimed:
    """A check that is ours to make."""

    provider_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """All that the database knows of providers."""

    rows: dict[str, Row[Any]]
    """Provider to its row."""
    reach: Reach
    calls: dict[str, Row[Any]]
    """Provider to what the newest calls took."""

    def callable(self, deployment: Deployment) -> bool | None:
        """Its provider is on and a worker is ready for it; None where no living worker said."""
        off = deployment.provider.id in self.reach.off
        return False if off else self.reach.ready(deployment.provider)


async def know(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Have a row for each of these; what is known of them stays."""
    await connection.execute(KNOW, {"ids": sorted(ids)})


async def switch(
    connection: AsyncConnection, provider_id: str, *, enabled: bool, reason: str | None, by: str
) -> None:
    """Switch a provider on or off for all; every process acts on it within two seconds."""
    values = {"id": provider_id, "enabled": enabled, "reason": reason, "by": by}
    await connection.execute(SWITCH, values)


async def exhausted(connection: AsyncConnection, provider_id: str, reason: str) -> bool:
    """Switch off a provider whose quota is used up; False where it was off already.

    A person switches it on again: no check tells that a bill was paid.
    """
    values = {"id": provider_id, "reason": reason, "by": WORKER}
    return (await connection.execute(EXHAUST, values)).first() is not None


async def ask_check(connection: AsyncConnection, provider_id: str) -> Any:
    """Have a worker check it now; the moment after which its row shows the result."""
    return (await connection.execute(ASK, {"id": provider_id})).scalar_one()


async def claim_checks(
    connection: AsyncConnection, ids: Sequence[str], every: float
) -> list[Claimed]:
    """Those of these that are due or asked for: the caller checks them. `every`: seconds."""
    rows = await connection.execute(CLAIM, {"ids": list(ids), "every": every})
    return [Claimed(row.id, row.claimed_at) for row in rows]


async def record_check(
    connection: AsyncConnection, claimed: Claimed, *, latency_ms: int, error: str | None
) -> None:
    """What a check found, unless one that began later has said so already."""
    values = {
        "id": claimed.provider_id, "claimed_at": claimed.at,
        "latency_ms": latency_ms, "error": error,
    }  # fmt: skip
    await connection.execute(CHECKED, values)


async def read_standings(connection: AsyncConnection) -> Standings:
    """Everything at once; a few hundred rows at most."""
    rows = await connection.execute(STANDINGS)
    calls = await connection.execute(CALLS, {"newest": NEWEST_CALLS})
    return Standings(
        rows={row.id: row for row in rows},
        reach=await read_reach(connection),
        calls={row.provider: row for row in calls},
    )
