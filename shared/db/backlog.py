"""How much waits: accepted, and not yet running."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Amount:
    """Jobs, and the bytes of their requests."""

    jobs: int = 0
    bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.jobs + other.jobs, self.bytes + other.bytes)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.jobs - other.jobs, self.bytes - other.bytes)


# Read from jobs_waiting alone; the states stand here in the words of that index.
SUM = """
SELECT count(*) AS jobs, coalesce(sum(request_bytes), 0)::bigint AS bytes
FROM jobs WHERE state IN ('scheduled', 'queued')
"""
OF_ALL = text(SUM)
OF_TENANT = text(f"{SUM} AND tenant_id = :tenant_id")


async def waiting(connection: AsyncConnection, tenant_id: str | None) -> Amount:
    """What waits of the tenant; None: of all. Some 100 ms for a million jobs."""
    values = {"tenant_id": tenant_id}
    rows = await connection.execute(*((OF_TENANT, values) if tenant_id else (OF_ALL,)))
    row = rows.one()
    return Amount(row.jobs, row.bytes)
