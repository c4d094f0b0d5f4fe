"""What is open now: the memory that Redis gets back after a loss."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.attempt import OPEN_ATTEMPTS
from shared.meters.meter import Slot

OPEN = text("""
SELECT id, deployment, queue FROM attempts WHERE state = ANY(CAST(:open AS text[]))
""").bindparams(open=sorted(OPEN_ATTEMPTS))


async def open_slots(connection: AsyncConnection) -> list[Slot]:
    """The slots of all attempts that are planned or sent."""
    rows = await connection.execute(OPEN)
    return [Slot(row.id, row.deployment, row.queue) for row in rows]
