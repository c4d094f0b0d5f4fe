"""What of a job's request was kept: options that nobody can give were left out of it."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

FIELDS = text("""
SELECT jsonb_object_keys(request) FROM payloads WHERE job_id = :job_id
""")


async def stored_fields(connection: AsyncConnection, job_id: str) -> frozenset[str]:
    """The fields of the request that its providers are asked with."""
    rows = await connection.execute(FIELDS, {"job_id": job_id})
    return frozenset(rows.scalars())
