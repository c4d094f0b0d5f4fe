"""Let go of a batch that has ended, and of its files; its jobs stay."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

FORGET = text("""
WITH gone AS (
    DELETE FROM batches
    WHERE id = :id AND tenant_id = :tenant_id
      AND state IN ('completed', 'failed', 'expired', 'cancelled')
    RETURNING id, input_file_id, output_file_id, error_file_id
), keys_gone AS (
    DELETE FROM idempotency_keys
    WHERE tenant_id = :tenant_id AND job_id IN (SELECT id FROM gone)
), files_gone AS (
    DELETE FROM files USING gone
    WHERE tenant_id = :tenant_id
      AND files.id IN (gone.input_file_id, gone.output_file_id, gone.error_file_id)
)
SELECT id FROM gone
""")


async def forget_batch(connection: AsyncConnection, tenant_id: str, batch_id: str) -> bool:
    """Whether there was such a batch of the tenant that has ended."""
    asked = {"tenant_id": tenant_id, "id": batch_id}
    return (await connection.execute(FORGET, asked)).scalar_one_or_none() is not None
