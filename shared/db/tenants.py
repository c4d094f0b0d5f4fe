"""Tenants and their API keys."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.ids import IdKind, new_id
from shared.security.keys import NewKey, Scope, hash_secret, mint_key


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds a key, and what it may do."""

    tenant_id: str
    tenant_name: str
    key_id: str
    key_name: str
    secret_hash: bytes
    scopes: frozenset[Scope]
    expires_at: datetime | None


ENSURE = text("""
INSERT INTO tenants (id, name, weight) VALUES (:id, :name, :weight)
ON CONFLICT (name) DO UPDATE SET weight = excluded.weight
RETURNING id
""")

ADD_KEY = text("""
INSERT INTO api_keys (id, tenant_id, name, secret_hash, scopes, expires_at)
VALUES (:id, :tenant_id, :name, :secret_hash, CAST(:scopes AS text[]), :expires_at)
""")

FIND = text("""
SELECT tenants.id AS tenant_id, tenants.name AS tenant_name, api_keys.id AS key_id,
       api_keys.name AS key_name, secret_hash, scopes, expires_at
FROM api_keys JOIN tenants ON tenants.id = tenant_id
WHERE api_keys.id = :key_id AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > clock_timestamp())
""")


async def ensure_tenant(connection: AsyncConnection, name: str, *, weight: int = 1) -> str:
    """The id of the tenant of that name, made if there is none."""
    values = {"id": new_id(IdKind.TENANT), "name": name, "weight": weight}
    return str((await connection.execute(ENSURE, values)).scalar_one())


async def create_key(  # noqa: PLR0913 - each is a column
    connection: AsyncConnection,
    tenant_id: str,
    *,
    name: str,
    scopes: Iterable[Scope],
    environment: str,
    pepper: SecretStr,
    expires_at: datetime | None = None,
) -> NewKey:
    """Make a key for a tenant; its plaintext is in the answer and nowhere else."""
    key = mint_key(environment)
    granted: Sequence[str] = sorted(scopes)
    await connection.execute(
        ADD_KEY,
        {
            "id": key.id,
            "tenant_id": tenant_id,
            "name": name,
            "secret_hash": hash_secret(key.secret, pepper),
            "scopes": granted,
            "expires_at": expires_at,
        },
    )
    return key


async def find_key(connection: AsyncConnection, key_id: str) -> Caller | None:
    """The living key of that id; its secret has yet to be compared."""
    row = (await connection.execute(FIND, {"key_id": key_id})).one_or_none()
    if row is None:
        return None
    return Caller(
        tenant_id=row.tenant_id,
        tenant_name=row.tenant_name,
        key_id=row.key_id,
        key_name=row.key_name,
        secret_hash=bytes(row.secret_hash),
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        expires_at=row.expires_at,
    )
