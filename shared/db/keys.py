"""What changes of a key while it lives: its secret, its limits, and when it was last used."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from enum import Enum, auto
from typing import Final

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.limits import KeyLimits
from shared.security.keys import NewKey, hash_secret, mint_key

LIMITS: Final = tuple(each.name for each in fields(KeyLimits))


class NotRotated(Enum):
    """Why a key kept its secret."""

    NOT_ALIVE = auto()
    """There is none of that id that counts."""
    TWO_LIVE = auto()
    """The secret before its last rotation counts still."""


LIVING = text("""
SELECT old_secret_until > clock_timestamp() AS two FROM api_keys
WHERE id = :key_id AND tenant_id = :tenant_id AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > clock_timestamp())
FOR NO KEY UPDATE
""")

# Where two live, the newer is the one that is replaced: the older is in use somewhere.
ROTATE = text("""
UPDATE api_keys SET secret_hash = :secret_hash,
    old_secret_hash = CASE WHEN :two THEN old_secret_hash ELSE secret_hash END,
    old_secret_until = CASE
        WHEN :old_seconds = 0 THEN clock_timestamp()
        WHEN :two THEN old_secret_until
        ELSE clock_timestamp() + make_interval(secs => :old_seconds) END
WHERE id = :key_id
""")

NOTE_USES = text("""
UPDATE api_keys SET last_used_at = clock_timestamp()
WHERE id IN (
    SELECT id FROM api_keys
    WHERE id = ANY(CAST(:key_ids AS text[]))
      AND (last_used_at IS NULL
           OR last_used_at < clock_timestamp() - make_interval(secs => :seconds))
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
""")


async def rotate_key(  # noqa: PLR0913 - a key and how its secrets change
    connection: AsyncConnection,
    tenant_id: str,
    key_id: str,
    *,
    environment: str,
    pepper: SecretStr,
    old_seconds: int,
    force: bool = False,
) -> NewKey | NotRotated:
    """A new secret for a key of the tenant; the one before counts for so many seconds more.

    At most two count at one time. While they do, only `force` gives another: in place of the newer.
    With 0 seconds all but the new one end at once.
    """
    found = await connection.execute(LIVING, {"tenant_id": tenant_id, "key_id": key_id})
    row = found.one_or_none()
    if row is None:
        return NotRotated.NOT_ALIVE
    if row.two and old_seconds and not force:
        return NotRotated.TWO_LIVE
    key = mint_key(environment, key_id)
    values = {
        "key_id": key_id,
        "secret_hash": hash_secret(key.secret, pepper),
        "two": row.two,
        "old_seconds": old_seconds,
    }
    await connection.execute(ROTATE, values)
    return key


async def change_key_limits(
    connection: AsyncConnection, tenant_id: str, key_id: str, changes: Mapping[str, int | None]
) -> None:
    """Set some limits of a key of the tenant, by their names, and keep the others."""
    named = [name for name in LIMITS if name in changes]
    if not named:
        return
    wishes = ", ".join(f"{name} = :{name}" for name in named)
    statement = f"UPDATE api_keys SET {wishes} WHERE id = :key_id AND tenant_id = :tenant_id"
    whose = {"tenant_id": tenant_id, "key_id": key_id}
    await connection.execute(text(statement), {**changes, **whose})


async def note_uses(
    connection: AsyncConnection, key_ids: Collection[str], *, seconds: float
) -> None:
    """These keys were used just now; who was noted in the last seconds is left as it is."""
    await connection.execute(NOTE_USES, {"key_ids": sorted(key_ids), "seconds": seconds})
