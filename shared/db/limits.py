"""How much a tenant and a key may send, have waiting and have in flight."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """Of one key, beside those of its tenant; None: no limit."""

    max_running: int | None = None
    """Calls in flight at one time, over all routes."""
    requests_per_minute: int | None = None
    """Requests to the api; a bulk request is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """Of all keys of a tenant together; None: no limit."""

    max_running: int | None = None
    max_queued: int | None = None
    """Jobs that are accepted and do not run yet."""
    max_queued_bytes: int | None = None
    """The bytes of their requests."""
    requests_per_minute: int | None = None


MOST: Final = 2**31 - 1
"""What a column of integers takes."""
NAMES: Final = tuple(each.name for each in fields(TenantLimits))
COLUMNS: Final = ", ".join(NAMES)
READ = text(f"SELECT {COLUMNS} FROM tenants WHERE name = :name")
LOCK = text("SELECT FROM tenants WHERE name = :name FOR NO KEY UPDATE")
WRITE = text(
    f"UPDATE tenants SET {', '.join(f'{each} = :{each}' for each in NAMES)} WHERE name = :name"
)


def limits_of(row: Row[Any]) -> TenantLimits:
    """Of a row that has COLUMNS."""
    return TenantLimits(**{name: getattr(row, name) for name in NAMES})


async def read_limits(connection: AsyncConnection, name: str) -> TenantLimits | None:
    """The limits of the tenant of that name; None: there is none."""
    row = (await connection.execute(READ, {"name": name})).one_or_none()
    return limits_of(row) if row is not None else None


async def change_limits(
    connection: AsyncConnection, name: str, changes: Mapping[str, int | None]
) -> TenantLimits | None:
    """Set some limits of the tenant, by their names, and keep the others; None: no such tenant."""
    await connection.execute(LOCK, {"name": name})
    before = await read_limits(connection, name)
    if before is None:
        return None
    limits = TenantLimits(**{**asdict(before), **changes})
    await connection.execute(WRITE, {"name": name, **asdict(limits)})
    return limits
