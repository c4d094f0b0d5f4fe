"""Deliveries on their way: who tries which, how each try ended, and how its endpoint stands."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.outbox import announce
from shared.domain.event import EventType

LEASE_SECONDS: Final = 60.0
"""That a try may take with all that belongs to it; then somebody else tries."""
PROBES: Final = 2
"""Tries at one time of an endpoint that fails, however many others may have."""
DISABLE_AFTER: Final = timedelta(days=5)
"""Of nothing but failures."""


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be tried now, by whoever claimed it."""

    id: str
    tenant_id: str
    endpoint_id: str
    message_id: str
    body: str
    number: int
    """Of this try, from 1."""
    url: str
    secret_number: int
    with_old_secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How a try ended, and what becomes of its delivery and its endpoint."""

    id: str
    number: int
    endpoint_id: str
    state: str
    """Of the delivery from now on."""
    again_in: float = 0.0
    """Seconds, where it stays pending."""
    status: int | None
    error: str | None
    milliseconds: int
    pause: float | None = None
    """Seconds that its endpoint is left alone."""
    disable: str | None = None
    """Why its endpoint is told nothing more."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """An endpoint that is told nothing until somebody enables it."""

    id: str
    tenant_id: str
    reason: str


# Of each endpoint that something waits for, as many as it has room for: found by steps through
# the index, so that what waits for one is not read to find what waits for another.
CLAIM: Final = text("""
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id FROM deliveries WHERE state = 'pending' ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT endpoint_id FROM deliveries
            WHERE state = 'pending' AND deliveries.endpoint_id > waiting.endpoint_id
            ORDER BY endpoint_id LIMIT 1)
    FROM waiting WHERE waiting.endpoint_id IS NOT NULL
), busy AS (
    SELECT * FROM unnest(CAST(:busy AS text[]), CAST(:calls AS int[])) AS busy(id, calls)
), due AS (
    SELECT one.id, endpoint.tenant_id, one.place,
           row_number() OVER (PARTITION BY endpoint.tenant_id ORDER BY one.place, one.next_at)
               + coalesce(tenant.calls, 0) AS of_tenant
    FROM waiting JOIN webhook_endpoints AS endpoint ON endpoint.id = waiting.endpoint_id
    LEFT JOIN busy ON busy.id = endpoint.id LEFT JOIN busy AS tenant ON tenant.id = tenant_id
    CROSS JOIN LATERAL (
        SELECT id, next_at, row_number() OVER (ORDER BY next_at) AS place FROM deliveries
        WHERE endpoint_id = endpoint.id AND state = 'pending' AND next_at <= now()
        ORDER BY next_at
        LIMIT greatest(CASE WHEN failing_since IS NULL THEN :of_endpoint ELSE :probes END
                       - coalesce(busy.calls, 0), 0)
    ) AS one
    WHERE deleted_at IS NULL AND disabled_at IS NULL AND paused_until <= now()
), chosen AS (
    SELECT id FROM due WHERE of_tenant <= :of_tenant ORDER BY of_tenant, place LIMIT :limit
), locked AS (
    SELECT id FROM deliveries
    WHERE id IN (SELECT id FROM chosen) AND state = 'pending' AND next_at <= now()
    ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE deliveries SET tries = tries + 1,
    next_at = clock_timestamp() + make_interval(secs => :lease)
FROM locked, webhook_endpoints AS endpoint
WHERE deliveries.id = locked.id AND state = 'pending' AND endpoint.id = deliveries.endpoint_id
RETURNING deliveries.id, deliveries.tenant_id, endpoint_id, message_id, body, tries AS number,
          url, secret_number, old_secret_until > clock_timestamp() AS with_old_secret
""").bindparams(lease=LEASE_SECONDS, probes=PROBES)

# The number of the try says whose it is: one that outlived its lease moves nothing.
RECORD: Final = text("""
WITH tried AS (
    SELECT * FROM unnest(
        CAST(:id AS text[]), CAST(:number AS int[]), CAST(:state AS text[]),
        CAST(:again_in AS float8[]), CAST(:status AS int[]), CAST(:error AS text[]),
        CAST(:milliseconds AS int[])
    ) AS tried(id, number, state, again_in, status, error, milliseconds)
), moved AS (
    UPDATE deliveries SET state = tried.state,
        next_at = clock_timestamp() + make_interval(secs => tried.again_in),
        ended_at = CASE WHEN tried.state <> 'pending' THEN clock_timestamp() END
    FROM tried
    WHERE deliveries.id = tried.id AND tries = tried.number AND deliveries.state = 'pending'
)
INSERT INTO delivery_tries (delivery_id, number, status, error, milliseconds)
SELECT id, number, status, error, milliseconds FROM tried
WHERE EXISTS (SELECT FROM deliveries WHERE deliveries.id = tried.id)
ON CONFLICT DO NOTHING
""")

# An endpoint that does as it did is not written.
STAND: Final = text("""
WITH heard AS (
    SELECT * FROM unnest(
        CAST(:endpoint_id AS text[]), CAST(:fine AS boolean[]), CAST(:pause AS float8[])
    ) AS heard(id, fine, pause)
), locked AS (
    SELECT heard.* FROM webhook_endpoints AS endpoint JOIN heard USING (id)
    WHERE pause IS NOT NULL OR fine <> (failing_since IS NULL)
    ORDER BY id FOR NO KEY UPDATE OF endpoint
)
UPDATE webhook_endpoints AS endpoint SET
    failing_since = CASE WHEN NOT fine THEN coalesce(failing_since, clock_timestamp()) END,
    paused_until = greatest(
        paused_until, clock_timestamp() + make_interval(secs => coalesce(pause, 0)))
FROM locked WHERE endpoint.id = locked.id
""")
DEAD: Final = text("""
SELECT id FROM webhook_endpoints
WHERE id = ANY(CAST(:failed AS text[])) AND failing_since < now() - CAST(:after AS interval)
""").bindparams(after=DISABLE_AFTER)

DISABLE: Final = text("""
UPDATE webhook_endpoints SET disabled_at = clock_timestamp(), disabled_reason = :reason
WHERE id = :id AND disabled_at IS NULL AND deleted_at IS NULL RETURNING tenant_id
""")
DROP: Final = text("""
UPDATE deliveries SET state = 'dropped', ended_at = clock_timestamp()
WHERE endpoint_id = :id AND state = 'pending'
""")
# What the publisher wrote for an endpoint in the instant in which it was closed.
DROP_ORPHANS: Final = text("""
UPDATE deliveries SET state = 'dropped', ended_at = clock_timestamp()
WHERE state = 'pending' AND endpoint_id IN (
    SELECT id FROM webhook_endpoints WHERE disabled_at IS NOT NULL OR deleted_at IS NOT NULL
)
""")
GIVE_BACK: Final = text("""
UPDATE deliveries SET tries = tries - 1, next_at = clock_timestamp()
FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[])) AS given(id, number)
WHERE deliveries.id = given.id AND tries = given.number AND state = 'pending'
""")

IN_RECORD: Final = ("id", "number", "state", "again_in", "status", "error", "milliseconds")
LASTING_FAILURE: Final = f"every try failed for {DISABLE_AFTER.days} days"


async def claim_due(
    connection: AsyncConnection,
    busy: Mapping[str, int],
    *,
    of_endpoint: int,
    of_tenant: int,
    limit: int,
) -> list[Due]:
    """Take what is due, for a while nobody else's.

    `busy`: tries under way by endpoint and by tenant, which count in what each may have at once.
    """
    asked = {
        "busy": list(busy), "calls": list(busy.values()),
        "of_endpoint": of_endpoint, "of_tenant": of_tenant, "limit": limit,
    }  # fmt: skip
    names = [each.name for each in fields(Due)]
    rows = await connection.execute(CLAIM, asked)
    return [Due(**{name: getattr(row, name) for name in names}) for row in rows]


async def record_tries(connection: AsyncConnection, tries: Sequence[Tried]) -> list[Disabled]:
    """Write how these tries ended; the endpoints that are disabled by it."""
    columns = {name: [getattr(each, name) for each in tries] for name in IN_RECORD}
    await connection.execute(RECORD, columns)
    await connection.execute(STAND, _standings(tries))
    failed = sorted({each.endpoint_id for each in tries if each.error is not None})
    dead = await connection.execute(DEAD, {"failed": failed}) if failed else ()
    reasons = {row.id: LASTING_FAILURE for row in dead}
    reasons |= {each.endpoint_id: each.disable for each in tries if each.disable}
    done = [await disable(connection, id_, reason) for id_, reason in sorted(reasons.items())]
    return [each for each in done if each is not None]


async def disable(connection: AsyncConnection, endpoint_id: str, reason: str) -> Disabled | None:
    """Tell an endpoint nothing more, and the bus that it is so; None where it was so already."""
    values = {"id": endpoint_id, "reason": reason}
    tenant_id = (await connection.execute(DISABLE, values)).scalar_one_or_none()
    if tenant_id is None:
        return None
    await connection.execute(DROP, {"id": endpoint_id})
    await announce(connection, tenant_id, endpoint_id, EventType.ENDPOINT_DISABLED)
    return Disabled(endpoint_id, tenant_id, reason)


async def drop_orphans(connection: AsyncConnection) -> int:
    """Drop what waits for endpoints that are told nothing; how much."""
    return (await connection.execute(DROP_ORPHANS)).rowcount


async def give_back(connection: AsyncConnection, tries: Collection[Due]) -> None:
    """Let others try at once what was not tried to its end."""
    values = {"ids": [each.id for each in tries], "numbers": [each.number for each in tries]}
    await connection.execute(GIVE_BACK, values)


def _standings(tries: Sequence[Tried]) -> dict[str, Any]:
    """One row for each endpoint: fine if any try was, and the longest pause."""
    fine: dict[str, bool] = {}
    pauses: dict[str, float | None] = {}
    for each in tries:
        id_ = each.endpoint_id
        fine[id_] = fine.get(id_, False) or each.error is None
        wished = [pause for pause in (pauses.get(id_), each.pause) if pause is not None]
        pauses[id_] = max(wished, default=None)
    return {"endpoint_id": list(fine), "fine": list(fine.values()), "pause": list(pauses.values())}
