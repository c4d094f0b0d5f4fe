"""What a monitoring system is told of the database: workers, calls in flight, budgets, events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.budgets import STARTS_AT
from shared.db.outbox import read_counts
from shared.domain.attempt import OPEN_ATTEMPTS


@dataclass(frozen=True, slots=True)
class Gauges:
    """As they stand at one moment."""

    fleet: Sequence[Row[Any]]
    """`queue`, `workers` and `capacity` of those that are alive."""
    in_flight: Sequence[Row[Any]]
    """`deployment`, `calls` that are released or running."""
    budgets: Sequence[Row[Any]]
    """`tenant` (None: over all), `name`, nano-USD, and `told`: percent passed in this window."""
    events: Sequence[Row[Any]]
    """`type` and `told`: how many there ever were."""


FLEET = text("""
SELECT queue, count(*) AS workers, sum(capacity)::int AS capacity
FROM workers, unnest(queues) AS queue
WHERE state = 'alive' AND lease_until > clock_timestamp() GROUP BY queue ORDER BY queue
""")

IN_FLIGHT = text("""
SELECT deployment, count(*) AS calls FROM attempts
WHERE state = ANY(CAST(:open AS text[])) GROUP BY deployment ORDER BY deployment
""").bindparams(open=sorted(OPEN_ATTEMPTS))

BUDGETS = text(f"""
WITH living AS (SELECT *, {STARTS_AT} AS starts_at FROM budgets WHERE archived_at IS NULL)
SELECT tenants.name AS tenant, living.name, cap_nano, coalesce(spent_nano, 0) AS spent_nano,
       coalesce(held_nano, 0) AS held_nano,
       ARRAY(SELECT percent FROM budget_alerts WHERE window_id = budget_windows.id
             ORDER BY percent) AS told
FROM living LEFT JOIN tenants ON tenants.id = living.tenant_id
LEFT JOIN budget_windows ON budget_id = living.id AND budget_windows.starts_at = living.starts_at
ORDER BY living.id
""")


async def read_gauges(connection: AsyncConnection) -> Gauges:
    """Four questions, each by an index or over few rows."""
    return Gauges(
        fleet=(await connection.execute(FLEET)).all(),
        in_flight=(await connection.execute(IN_FLIGHT)).all(),
        budgets=(await connection.execute(BUDGETS)).all(),
        events=await read_counts(connection),
    )
