"""Compare what we booked with what a provider says it billed."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

COSTS = text("""
SELECT attempts.id, attempts.cost_nano FROM attempts JOIN jobs ON jobs.id = attempts.job_id
WHERE jobs.batch = :batch AND attempts.state NOT IN ('planned', 'returned')
""")


async def attempt_costs(connection: AsyncConnection, batch: str) -> dict[str, int]:
    """The booked cost of every attempt of a batch that was sent, in nano-USD, by attempt id."""
    rows = await connection.execute(COSTS, {"batch": batch})
    return {row.id: row.cost_nano or 0 for row in rows}
