"""What an endpoint was told: every delivery with its tries, to be read and to be sent again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.event import DeliveryState, EventType
from shared.domain.ids import IdKind, first_id, new_id

MOST_REPLAYED: Final = 1000
"""By one call; the caller goes on behind the last of them."""


MISSED: Final = (DeliveryState.GIVEN_UP, DeliveryState.DROPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which deliveries of an endpoint; what is None matters not."""

    endpoint_id: str
    states: Collection[DeliveryState] | None = None
    types: Collection[EventType] | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: str | None = None
    """Behind this one, in the order that is asked for."""


# Ids sort by the time of their making: a span of time is a span of the index.
CHOSEN: Final = """
endpoint_id = :endpoint_id AND id >= :first
AND (CAST(:last AS text) IS NULL OR id < :last)
AND (CAST(:states AS text[]) IS NULL OR state = ANY(CAST(:states AS text[])))
AND (CAST(:types AS text[]) IS NULL OR type = ANY(CAST(:types AS text[])))
"""
COLUMNS: Final = """id, endpoint_id, message_id, type, subject, state, tries, next_at, created_at,
ended_at"""
LIST = text(f"""
SELECT {COLUMNS} FROM deliveries
WHERE {CHOSEN} AND (CAST(:after AS text) IS NULL OR id < :after)
ORDER BY id DESC LIMIT :limit
""")
ONE = text(f"""
SELECT {COLUMNS} FROM deliveries
WHERE id = :id AND endpoint_id = :endpoint_id AND tenant_id = :tenant_id
""")
TRIES = text("""
SELECT delivery_id, number, at, status, error, milliseconds FROM delivery_tries
WHERE delivery_id = ANY(CAST(:ids AS text[])) ORDER BY delivery_id, number
""")

# Of a message that was sent again the last delivery alone says how it stands.
LAST_OF_EACH = text(f"""
WITH last AS (
    SELECT DISTINCT ON (message_id) id, state, type, endpoint_id FROM deliveries
    WHERE endpoint_id = :endpoint_id AND id >= :first
    ORDER BY message_id, id DESC
)
SELECT id FROM last
WHERE {CHOSEN} AND (CAST(:after AS text) IS NULL OR id > :after)
ORDER BY id LIMIT :limit
""")
AGAIN = text("""
INSERT INTO deliveries (id, tenant_id, endpoint_id, message_id, type, subject, body)
SELECT fresh.id, tenant_id, endpoint_id, message_id, type, subject, body
FROM unnest(CAST(:ids AS text[]), CAST(:fresh_ids AS text[])) AS fresh(old_id, id)
JOIN deliveries ON deliveries.id = fresh.old_id
ORDER BY fresh.id
""")
AT_ONCE = text("""
UPDATE deliveries SET next_at = clock_timestamp() WHERE id = :id AND state = 'pending' RETURNING id
""")


async def list_deliveries(
    connection: AsyncConnection, which: Which, *, limit: int
) -> Sequence[Row[Any]]:
    """The deliveries of an endpoint, the newest first."""
    return (await connection.execute(LIST, {**_values(which), "limit": limit})).all()


async def find_delivery(
    connection: AsyncConnection, tenant_id: str, endpoint_id: str, delivery_id: str
) -> Row[Any] | None:
    """One of them; None for any other id."""
    asked = {"tenant_id": tenant_id, "endpoint_id": endpoint_id, "id": delivery_id}
    return (await connection.execute(ONE, asked)).one_or_none()


async def read_tries(
    connection: AsyncConnection, delivery_ids: Collection[str]
) -> dict[str, list[Row[Any]]]:
    """The tries of each, the first first."""
    tries: dict[str, list[Row[Any]]] = {each: [] for each in delivery_ids}
    for row in await connection.execute(TRIES, {"ids": list(delivery_ids)}):
        tries[row.delivery_id].append(row)
    return tries


async def send_again(connection: AsyncConnection, delivery_id: str) -> str:
    """Send a delivery again, with all tries before it; the id of what is on its way now.

    One that still waits is sent at once instead: nobody gets it twice for that.
    """
    if (await connection.execute(AT_ONCE, {"id": delivery_id})).scalar_one_or_none():
        return delivery_id
    [fresh] = await _again(connection, [delivery_id])
    return fresh


async def send_all_again(
    connection: AsyncConnection, which: Which, *, most: int = MOST_REPLAYED
) -> tuple[int, str | None]:
    """Send what was chosen again, the oldest first; how many, and where to go on for more."""
    found = await connection.execute(LAST_OF_EACH, {**_values(which), "limit": most + 1})
    ids = list(found.scalars())
    chosen, more = ids[:most], len(ids) > most
    await _again(connection, chosen)
    return len(chosen), chosen[-1] if more else None


async def _again(connection: AsyncConnection, ids: Sequence[str]) -> list[str]:
    fresh = [new_id(IdKind.DELIVERY) for _ in ids]
    if ids:
        await connection.execute(AGAIN, {"ids": list(ids), "fresh_ids": fresh})
    return fresh


def _values(which: Which) -> dict[str, Any]:
    return {
        "endpoint_id": which.endpoint_id,
        "first": first_id(IdKind.DELIVERY, which.since) if which.since else "",
        "last": first_id(IdKind.DELIVERY, which.until) if which.until else None,
        "states": list(which.states) if which.states is not None else None,
        "types": list(which.types) if which.types is not None else None,
        "after": which.after,
    }
