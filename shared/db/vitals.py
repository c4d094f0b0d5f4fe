"""How deployments do: calls under way, what the newest answers took, and how long they were."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.attempt import AttemptState
from shared.routing.costs import Habits
from shared.routing.strategies import Vitals

NEWEST: Final = 2000
"""Answers that are looked at."""

# Each half has an index of its own.
IN_FLIGHT = text("""
SELECT deployment, count(*) AS calls FROM (
    SELECT deployment FROM attempts WHERE state = :planned
    UNION ALL SELECT deployment FROM attempts WHERE state = :sent) AS open
GROUP BY deployment
""").bindparams(planned=AttemptState.PLANNED, sent=AttemptState.SENT)

# Ids are sorted by time: the newest are the primary key's end, however many there are.
LATENCY = text("""
SELECT deployment, percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS median
FROM (SELECT deployment, state, latency_ms FROM attempts ORDER BY id DESC LIMIT :newest) AS newest
WHERE state = :answered AND latency_ms IS NOT NULL
GROUP BY deployment
""").bindparams(answered=AttemptState.ANSWERED, newest=NEWEST)

HABITS = text("""
SELECT deployment, avg(output)::float8 AS output_tokens,
       coalesce(sum(cached) / nullif(sum(input), 0), 0)::float8 AS cached
FROM (
    SELECT deployment, state, (usage->>'input_tokens')::numeric AS input,
           (usage->>'cached_tokens')::numeric AS cached,
           (usage->>'output_tokens')::numeric AS output
    FROM attempts ORDER BY id DESC LIMIT :newest
) AS newest
WHERE state = :answered AND output IS NOT NULL
GROUP BY deployment
""").bindparams(answered=AttemptState.ANSWERED, newest=NEWEST)


async def read_vitals(connection: AsyncConnection) -> Vitals:
    """Of all deployments that are in use."""
    in_flight = await connection.execute(IN_FLIGHT)
    latency = await connection.execute(LATENCY)
    return Vitals(
        in_flight={row.deployment: row.calls for row in in_flight},
        latency_ms={row.deployment: row.median for row in latency},
    )


async def read_habits(connection: AsyncConnection) -> Habits:
    """Of the deployments that answered of late."""
    rows = (await connection.execute(HABITS)).all()
    return Habits(
        output_tokens={row.deployment: row.output_tokens for row in rows},
        cached={row.deployment: row.cached for row in rows},
    )
