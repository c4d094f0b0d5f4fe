"""The policies of tenants: what holds for their jobs where these say nothing else."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

READ = text("SELECT policy FROM tenants WHERE id = :tenant_id")
WRITE = text("UPDATE tenants SET policy = CAST(:policy AS jsonb) WHERE id = :tenant_id")


async def read_policy(connection: AsyncConnection, tenant_id: str) -> dict[str, Any] | None:
    """As shared.routing.policy.Policy reads it; None where the tenant has none."""
    found: dict[str, Any] | None = (
        await connection.execute(READ, {"tenant_id": tenant_id})
    ).scalar_one_or_none()
    return found


async def write_policy(
    connection: AsyncConnection, tenant_id: str, policy: Mapping[str, Any] | None
) -> None:
    """Put it in place of the one before; None: the tenant has none any more."""
    value = None if policy is None else orjson.dumps(policy).decode()
    await connection.execute(WRITE, {"tenant_id": tenant_id, "policy": value})
