"""Files that tenants keep here, in parts; one that still comes in has no size yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

PART_BYTES: Final = 1024 * 1024
COLUMNS: Final = "id, purpose, filename, bytes, created_at, expires_at"
THERE: Final = "bytes IS NOT NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())"

# Whoever brings it may die on the way: half a file is swept after a day.
BEGIN = text("""
INSERT INTO files (id, tenant_id, key_id, purpose, filename, expires_at)
VALUES (:id, :tenant_id, :key_id, '', '', clock_timestamp() + interval '1 day')
""")
ADD_PART = text("""
INSERT INTO file_parts (file_id, number, data) VALUES (:file_id, :number, :data)
""")
SEAL = text(f"""
UPDATE files SET bytes = :bytes, purpose = :purpose, filename = :filename,
    created_at = clock_timestamp(),
    expires_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8))
WHERE id = :id AND bytes IS NULL
RETURNING {COLUMNS}
""")
ONE = text(f"SELECT {COLUMNS} FROM files WHERE id = :id AND tenant_id = :tenant_id AND {THERE}")
STORED = text(f"""
SELECT coalesce(sum(bytes), 0) FROM files WHERE tenant_id = :tenant_id AND {THERE}
""")
PART = text("SELECT data FROM file_parts WHERE file_id = :file_id AND number = :number")
DELETE = text(f"""
WITH gone AS (
    DELETE FROM files WHERE id = :id AND tenant_id = :tenant_id AND {THERE} RETURNING id
), keys_gone AS (
    DELETE FROM idempotency_keys WHERE job_id IN (SELECT id FROM gone)
)
SELECT id FROM gone
""")
DISCARD = text("DELETE FROM files WHERE id = ANY(CAST(:ids AS text[])) AND bytes IS NULL")
DROP_EXPIRED = text("""
WITH old AS MATERIALIZED (
    SELECT id FROM files WHERE expires_at <= :now
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
), keys_gone AS (
    DELETE FROM idempotency_keys WHERE job_id = ANY(ARRAY(SELECT id FROM old))
)
DELETE FROM files WHERE id = ANY(ARRAY(SELECT id FROM old)) RETURNING id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a file is called and kept for."""

    purpose: str
    filename: str
    seconds: float | None
    """From now on until it goes; None: it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """Where a list of files goes on, and how far."""

    after: str | None
    limit: int
    descending: bool
    purpose: str | None


async def begin_file(
    connection: AsyncConnection, file_id: str, tenant_id: str, key_id: str | None
) -> None:
    """Make room for a file that nobody sees before it is sealed."""
    values = {"id": file_id, "tenant_id": tenant_id, "key_id": key_id}
    await connection.execute(BEGIN, values)


async def add_part(connection: AsyncConnection, file_id: str, number: int, data: bytes) -> None:
    """The next PART_BYTES of it; parts are numbered from 0."""
    await connection.execute(ADD_PART, {"file_id": file_id, "number": number, "data": data})


async def seal_file(
    connection: AsyncConnection, file_id: str, size: int, label: Label
) -> Row[Any] | None:
    """All of it is there: from now on it is seen. None: it was swept meanwhile."""
    values = {
        "id": file_id, "bytes": size, "purpose": label.purpose, "filename": label.filename,
        "seconds": label.seconds,
    }  # fmt: skip
    return (await connection.execute(SEAL, values)).one_or_none()


async def discard_files(connection: AsyncConnection, file_ids: Sequence[str]) -> None:
    """Let go of files that were never sealed."""
    await connection.execute(DISCARD, {"ids": list(file_ids)})


async def read_file(connection: AsyncConnection, tenant_id: str, file_id: str) -> Row[Any] | None:
    """One file of the tenant; None for any other id."""
    return (await connection.execute(ONE, {"tenant_id": tenant_id, "id": file_id})).one_or_none()


async def stored_bytes(connection: AsyncConnection, tenant_id: str) -> int:
    """Of all the tenant's files."""
    return int((await connection.execute(STORED, {"tenant_id": tenant_id})).scalar_one())


async def read_part(connection: AsyncConnection, file_id: str, number: int) -> bytes | None:
    """So much of its content; None behind the end."""
    found = await connection.execute(PART, {"file_id": file_id, "number": number})
    data = found.scalar_one_or_none()
    return None if data is None else bytes(data)


async def list_files(connection: AsyncConnection, tenant_id: str, page: FilePage) -> list[Row[Any]]:
    """A page of the tenant's files by id, one row more than asked where there are more."""
    tests = ["tenant_id = :tenant_id", THERE]
    values: dict[str, Any] = {"tenant_id": tenant_id, "limit": page.limit + 1}
    wanted = {
        "purpose = :purpose": ("purpose", page.purpose),
        f"id {'<' if page.descending else '>'} :after": ("after", page.after),
    }
    for test, (name, value) in wanted.items():
        if value is not None:
            tests.append(test)
            values[name] = value
    statement = f"""
        SELECT {COLUMNS} FROM files WHERE {" AND ".join(tests)}
        ORDER BY id {"DESC" if page.descending else "ASC"} LIMIT :limit
    """
    return list(await connection.execute(text(statement), values))


async def delete_file(connection: AsyncConnection, tenant_id: str, file_id: str) -> bool:
    """Whether there was such a file of the tenant."""
    found = await connection.execute(DELETE, {"tenant_id": tenant_id, "id": file_id})
    return found.scalar_one_or_none() is not None


async def drop_expired_files(connection: AsyncConnection, now: datetime, *, limit: int = 20) -> int:
    """Let go of so many files whose time is over; how many there were."""
    rows = await connection.execute(DROP_EXPIRED, {"now": now, "limit": limit})
    return len(rows.scalars().all())
