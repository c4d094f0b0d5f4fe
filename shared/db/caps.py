"""How many calls of a tenant or a key may be in flight at one time, and how many are."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.attempt import AttemptState


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit of calls in flight; of a tenant or of one of its keys."""

    tenant_id: str
    most: int


OF_CALLER = text("""
SELECT id, id AS tenant_id, max_running FROM tenants
WHERE id = :tenant_id AND max_running IS NOT NULL
UNION ALL
SELECT id, tenant_id, max_running FROM api_keys
WHERE id = :key_id AND max_running IS NOT NULL
""")

CAPS = text("""
SELECT id, id AS tenant_id, max_running FROM tenants WHERE max_running IS NOT NULL
UNION ALL
SELECT id, tenant_id, max_running FROM api_keys WHERE max_running IS NOT NULL
""")

# Counted by attempts_open: only the open attempts of these tenants are looked at. The states are
# no parameters: a plan that is made once could not use a partial index then.
IN_FLIGHT = text(f"""
SELECT attempts.tenant_id, jobs.key_id, count(*) AS calls
FROM attempts JOIN jobs ON jobs.id = attempts.job_id
WHERE attempts.tenant_id = ANY(CAST(:tenant_ids AS text[])) AND attempts.state
    IN ('{AttemptState.PLANNED}', '{AttemptState.SENT}')
GROUP BY attempts.tenant_id, jobs.key_id
""")

# Who releases jobs of a capped tenant holds it meanwhile; nobody waits for it: its turn comes.
LOCK = text("""
SELECT id FROM tenants WHERE id = ANY(CAST(:tenant_ids AS text[]))
ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")


async def read_caps(connection: AsyncConnection) -> dict[str, Cap]:
    """Every cap there is, by the id of its tenant or key."""
    rows = await connection.execute(CAPS)
    return {row.id: Cap(row.tenant_id, row.max_running) for row in rows}


async def in_flight(connection: AsyncConnection, tenant_ids: Collection[str]) -> Counter[str]:
    """The released and running calls of these tenants: by tenant, and by key."""
    rows = await connection.execute(IN_FLIGHT, {"tenant_ids": list(tenant_ids)})
    calls: Counter[str] = Counter()
    for row in rows:
        calls[row.tenant_id] += row.calls
        if row.key_id:
            calls[row.key_id] += row.calls
    return calls


async def left(connection: AsyncConnection, caps: Mapping[str, Cap]) -> dict[str, int]:
    """How many more calls each of these tenants and keys may start."""
    calls = await in_flight(connection, {cap.tenant_id for cap in caps.values()})
    return {id_: max(cap.most - calls[id_], 0) for id_, cap in caps.items()}


async def reached(
    connection: AsyncConnection, tenant_id: str, key_id: str | None
) -> tuple[str, int] | None:
    """The id of the tenant or key that may start no more calls now, and its cap; None: neither."""
    rows = await connection.execute(OF_CALLER, {"tenant_id": tenant_id, "key_id": key_id})
    caps = {row.id: Cap(row.tenant_id, row.max_running) for row in rows}
    room = await left(connection, caps) if caps else {}
    return next(((id_, caps[id_].most) for id_, number in room.items() if not number), None)


async def hold_left(connection: AsyncConnection, caps: Mapping[str, Cap]) -> dict[str, int]:
    """The same, and nobody else releases any of theirs before this transaction ends.

    A tenant that somebody else holds now has nothing left, nor have its keys.
    """
    tenant_ids = {cap.tenant_id for cap in caps.values()}
    held = set((await connection.execute(LOCK, {"tenant_ids": list(tenant_ids)})).scalars())
    # Counted after the lock, by a statement of its own: what the last holder released is seen.
    room = await left(connection, caps)
    return {id_: room[id_] if cap.tenant_id in held else 0 for id_, cap in caps.items()}
