"""Tenants and their API keys."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.limits import COLUMNS, NAMES, KeyLimits, TenantLimits, limits_of
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
    limits: TenantLimits = field(default_factory=TenantLimits)
    key_limits: KeyLimits = field(default_factory=KeyLimits)
    policy: Mapping[str, Any] | None = None
    """The tenant's, as shared.routing.policy.Policy reads it."""
    project: str | None = None
    """All jobs by this key belong to it; None: each says it itself."""
    old_secret_hash: bytes | None = None
    """Of the secret that a rotation replaced, while that counts, too."""

    def knows(self, secret_hash: bytes) -> bool:
        """Whether that is the hash of a secret of this key."""
        known = (self.secret_hash, self.old_secret_hash or b"")
        return any(hmac.compare_digest(each, secret_hash) for each in known)


ENSURE = text("""
INSERT INTO tenants (id, name, weight) VALUES (:id, :name, :weight)
ON CONFLICT (name) DO UPDATE SET weight = excluded.weight
RETURNING id
""")

ADD_KEY = text("""
INSERT INTO api_keys (id, tenant_id, name, secret_hash, scopes, expires_at,
                      max_running, requests_per_minute, project)
VALUES (:id, :tenant_id, :name, :secret_hash, CAST(:scopes AS text[]), :expires_at,
        :max_running, :requests_per_minute, :project)
""")

FIND = text(f"""
SELECT tenants.id AS tenant_id, tenants.name AS tenant_name, api_keys.id AS key_id,
       api_keys.name AS key_name, secret_hash, scopes, expires_at, policy,
       api_keys.project,
       CASE WHEN old_secret_until > clock_timestamp() THEN old_secret_hash END AS old_secret_hash,
       api_keys.max_running AS key_max_running,
       api_keys.requests_per_minute AS key_requests_per_minute,
       {", ".join(f"tenants.{each}" for each in NAMES)}
FROM api_keys JOIN tenants ON tenants.id = tenant_id
WHERE api_keys.id = :key_id AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > clock_timestamp())
""")

ADD_TENANT = text("""
INSERT INTO tenants (id, name, weight) VALUES (:id, :name, :weight)
ON CONFLICT (name) DO NOTHING RETURNING id
""")

TENANTS = text(f"""
SELECT id, name, weight, created_at, {COLUMNS},
       (SELECT count(*) FROM api_keys WHERE tenant_id = tenants.id AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > clock_timestamp())) AS keys
FROM tenants ORDER BY id
""")

SET_WEIGHT = text("UPDATE tenants SET weight = :weight WHERE name = :name RETURNING id")

KEY_COLUMNS = """id, name, scopes, created_at, expires_at, revoked_at, max_running,
requests_per_minute, project, last_used_at,
CASE WHEN old_secret_until > clock_timestamp() THEN old_secret_until END AS old_secret_until"""
KEYS = text(f"SELECT {KEY_COLUMNS} FROM api_keys WHERE tenant_id = :tenant_id ORDER BY id DESC")
KEY = text(f"SELECT {KEY_COLUMNS} FROM api_keys WHERE tenant_id = :tenant_id AND id = :key_id")

# Who counts the admin keys of a tenant holds it: two who revoke the last two cannot both do it.
LOCK_TENANT = text("SELECT id FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE")
OTHER_ADMINS = text("""
SELECT EXISTS (
    SELECT FROM api_keys
    WHERE tenant_id = :tenant_id AND id <> :key_id AND :admin = ANY(scopes)
      AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()))
""").bindparams(admin=Scope.ADMIN)
REVOKE = text("""
UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
WHERE id = :key_id AND tenant_id = :tenant_id
""")


class Revoked(Enum):
    """What became of the wish to revoke a key."""

    DONE = auto()
    NOT_FOUND = auto()
    LAST_ADMIN = auto()
    """Kept: nobody could administer the tenant without it."""


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
    limits: KeyLimits | None = None,
    project: str | None = None,
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
            **asdict(limits or KeyLimits()),
            "project": project,
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
        limits=limits_of(row),
        key_limits=KeyLimits(
            max_running=row.key_max_running, requests_per_minute=row.key_requests_per_minute
        ),
        policy=row.policy,
        project=row.project,
        old_secret_hash=bytes(row.old_secret_hash) if row.old_secret_hash is not None else None,
    )


async def create_tenant(connection: AsyncConnection, name: str, *, weight: int) -> str | None:
    """The id of a new tenant; None when the name is taken."""
    values = {"id": new_id(IdKind.TENANT), "name": name, "weight": weight}
    made: str | None = (await connection.execute(ADD_TENANT, values)).scalar_one_or_none()
    return made


async def list_tenants(connection: AsyncConnection) -> list[Row[Any]]:
    """Every tenant with its weight, limits and how many living keys, the oldest first."""
    return list(await connection.execute(TENANTS))


async def set_weight(connection: AsyncConnection, name: str, weight: int) -> bool:
    """Give a tenant another share of every route; False when there is none of that name."""
    found = await connection.execute(SET_WEIGHT, {"name": name, "weight": weight})
    return found.scalar_one_or_none() is not None


async def list_keys(connection: AsyncConnection, tenant_id: str) -> list[Row[Any]]:
    """The keys of a tenant without their secrets, the newest first."""
    return list(await connection.execute(KEYS, {"tenant_id": tenant_id}))


async def read_key(connection: AsyncConnection, tenant_id: str, key_id: str) -> Row[Any] | None:
    """One key of the tenant without its secret; None for any other id."""
    found = await connection.execute(KEY, {"tenant_id": tenant_id, "key_id": key_id})
    return found.one_or_none()


async def revoke_key(
    connection: AsyncConnection, tenant_id: str, key_id: str, *, force: bool
) -> Revoked:
    """Revoke a key of the tenant; its last living admin key only by force."""
    whose = {"tenant_id": tenant_id, "key_id": key_id}
    await connection.execute(LOCK_TENANT, {"tenant_id": tenant_id})
    key = await read_key(connection, tenant_id, key_id)
    if key is None:
        return Revoked.NOT_FOUND
    counts = Scope.ADMIN in key.scopes and key.revoked_at is None
    if counts and not force and not (await connection.execute(OTHER_ADMINS, whose)).scalar_one():
        return Revoked.LAST_ADMIN
    await connection.execute(REVOKE, whose)
    return Revoked.DONE
