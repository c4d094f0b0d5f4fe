"""Creates of clients that know no idempotency keys, found again by their retries."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

REMEMBERED_SECONDS: Final = 3600.0

# Keys of one create sort beside each other. One that a client on its n-th retry has taken is
# another client's to whoever is no further: each create serves one client.
CLAIM = text("""
UPDATE idempotency_keys SET tries = :tries
WHERE tenant_id = :tenant_id AND key = (
    SELECT key FROM idempotency_keys
    WHERE tenant_id = :tenant_id AND key > :create AND key < :create || '~'
      AND tries < :tries AND created_at > clock_timestamp() - make_interval(secs => :seconds)
    ORDER BY tries DESC, key DESC LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING key
""").bindparams(seconds=REMEMBERED_SECONDS)


async def claim_create(
    connection: AsyncConnection, tenant_id: str, create: str, tries: int
) -> str | None:
    """The key of an earlier create whose client may have tried so often; None: there is none."""
    asked = {"tenant_id": tenant_id, "create": create, "tries": tries}
    key: str | None = (await connection.execute(CLAIM, asked)).scalar()
    return key
