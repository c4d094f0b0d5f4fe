"""Webhook endpoints: what a tenant wants to be told, and where."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.deliveries import DROP
from shared.domain.event import OF_JOBS, EventType
from shared.domain.ids import IdKind, new_id

OLD_SECRET_HOURS: Final = 24
"""That a secret which was rotated out still signs, where that is wished."""
MOST_BY_HAND: Final = 100
"""Endpoints of a tenant that were made for all that happens: each event makes a row for each."""
MOST_OF_JOBS: Final = 1000
"""URLs that a tenant's jobs may name."""
RETRY_MINUTES: Final = 10
"""That a client may take until it has sent the same again of which it lost the reply."""
NAME_OF_JOBS: Final = "single jobs"
"""Of the endpoints that come with the jobs that name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An endpoint as it is asked for."""

    name: str
    url: str
    event_types: tuple[EventType, ...]
    """Sorted."""
    of_jobs: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint and how it does."""

    id: str
    tenant_id: str
    of_jobs: bool
    """It is told of the jobs that name its URL, not of all that happens."""
    name: str
    url: str
    event_types: Sequence[str]
    secret_number: int
    old_secret_until: datetime | None
    """Until then the secret before signs, too."""
    created_at: datetime
    updated_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None


COLUMNS: Final = """id, tenant_id, of_jobs, name, url, event_types, secret_number,
CASE WHEN old_secret_until > clock_timestamp() THEN old_secret_until END AS old_secret_until,
created_at, updated_at, failing_since, disabled_at, disabled_reason"""

# Who counts the endpoints of a tenant holds it: two who make the last one cannot both do it.
LOCK_TENANT = text("SELECT id FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE")
COUNT = text("""
SELECT count(*) FROM webhook_endpoints
WHERE tenant_id = :tenant_id AND of_jobs = :of_jobs AND deleted_at IS NULL
""")
ADD = text(f"""
INSERT INTO webhook_endpoints (id, tenant_id, of_jobs, name, url, event_types)
VALUES (:id, :tenant_id, :of_jobs, :name, :url, CAST(:event_types AS text[]))
RETURNING {COLUMNS}
""")

LIVING: Final = "tenant_id = :tenant_id AND deleted_at IS NULL"
SAME = text(f"""
SELECT {COLUMNS} FROM webhook_endpoints
WHERE {LIVING} AND of_jobs = :of_jobs AND name = :name AND url = :url
  AND event_types = CAST(:event_types AS text[]) AND secret_number = 1
  AND created_at > clock_timestamp() - make_interval(mins => :minutes)
ORDER BY id DESC LIMIT 1
""").bindparams(minutes=RETRY_MINUTES)
ONE: Final = f"SELECT {COLUMNS} FROM webhook_endpoints WHERE {LIVING} AND id = :id"
FIND = text(ONE)
LOCK = text(f"{ONE} FOR NO KEY UPDATE")
LIST = text(f"""
SELECT {COLUMNS} FROM webhook_endpoints
WHERE {LIVING} AND (CAST(:after AS text) IS NULL OR id < :after)
ORDER BY id DESC LIMIT :limit
""")
# Without a choice of events: the one of that URL that was made first.
OF_URL = text(f"""
SELECT {COLUMNS} FROM webhook_endpoints
WHERE {LIVING} AND of_jobs AND url = :url
  AND event_types = coalesce(CAST(:event_types AS text[]), event_types)
ORDER BY id LIMIT 1
""")

CHANGE = text(f"""
UPDATE webhook_endpoints SET name = :name, url = :url, event_types = CAST(:event_types AS text[]),
    updated_at = clock_timestamp()
WHERE {LIVING} AND id = :id
  AND (name, url, event_types) IS DISTINCT FROM (:name, :url, CAST(:event_types AS text[]))
""")
ROTATE = text(f"""
UPDATE webhook_endpoints SET secret_number = secret_number + 1, updated_at = clock_timestamp(),
    old_secret_until = CASE WHEN :keep_old THEN clock_timestamp() + make_interval(hours => :hours)
                            ELSE '-infinity' END
WHERE {LIVING} AND id = :id AND NOT (:retried AND old_secret_until
    > clock_timestamp() + make_interval(hours => :hours, mins => -:minutes))
""").bindparams(hours=OLD_SECRET_HOURS, minutes=RETRY_MINUTES)
ENABLE = text(f"""
UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL,
    paused_until = '-infinity'
WHERE {LIVING} AND id = :id
""")
DELETE = text(f"""
UPDATE webhook_endpoints SET deleted_at = clock_timestamp() WHERE {LIVING} AND id = :id
RETURNING id
""")


async def lock_endpoints(connection: AsyncConnection, tenant_id: str) -> None:
    """Nobody else makes an endpoint of the tenant before this transaction ends."""
    await connection.execute(LOCK_TENANT, {"tenant_id": tenant_id})


async def create_endpoint(
    connection: AsyncConnection, tenant_id: str, wanted: Wanted
) -> Endpoint | None:
    """Write a new endpoint; None when the tenant has as many of its kind as it may have.

    Who calls it has called `lock_endpoints`.
    """
    kind = {"tenant_id": tenant_id, "of_jobs": wanted.of_jobs}
    most = MOST_OF_JOBS if wanted.of_jobs else MOST_BY_HAND
    if (await connection.execute(COUNT, kind)).scalar_one() >= most:
        return None
    values = {**kind, "id": new_id(IdKind.ENDPOINT), **_told(wanted)}
    return Endpoint(*(await connection.execute(ADD, values)).one())


async def made_lately(
    connection: AsyncConnection, tenant_id: str, wanted: Wanted
) -> Endpoint | None:
    """What an earlier try of the same request made; None where there was none."""
    values = {"tenant_id": tenant_id, "of_jobs": wanted.of_jobs, **_told(wanted)}
    row = (await connection.execute(SAME, values)).one_or_none()
    return None if row is None else Endpoint(*row)


async def ensure_of_jobs(
    connection: AsyncConnection, tenant_id: str, url: str, events: Collection[EventType] | None
) -> Endpoint | None:
    """The endpoint of jobs that name this URL, made where there is none; None: too many are."""
    await lock_endpoints(connection, tenant_id)
    if found := await endpoint_of_jobs(connection, tenant_id, url, events):
        return found
    wanted = Wanted(
        name=NAME_OF_JOBS,
        url=url,
        event_types=tuple(sorted(events or OF_JOBS)),
        of_jobs=True,
    )
    return await create_endpoint(connection, tenant_id, wanted)


async def endpoint_of_jobs(
    connection: AsyncConnection, tenant_id: str, url: str, events: Collection[EventType] | None
) -> Endpoint | None:
    """That of the jobs which name this URL, and this choice of events where there is one."""
    asked = {"tenant_id": tenant_id, "url": url, "event_types": sorted(events) if events else None}
    row = (await connection.execute(OF_URL, asked)).one_or_none()
    return None if row is None else Endpoint(*row)


async def list_endpoints(
    connection: AsyncConnection, tenant_id: str, *, after: str | None, limit: int
) -> list[Endpoint]:
    """The living endpoints of a tenant, the newest first, from the one after `after` on."""
    asked = {"tenant_id": tenant_id, "after": after, "limit": limit}
    return [Endpoint(*row) for row in await connection.execute(LIST, asked)]


async def find_endpoint(
    connection: AsyncConnection, tenant_id: str, endpoint_id: str, *, lock: bool = False
) -> Endpoint | None:
    """One of them; None for any other id. With `lock` nobody changes it meanwhile."""
    asked = {"tenant_id": tenant_id, "id": endpoint_id}
    row = (await connection.execute(LOCK if lock else FIND, asked)).one_or_none()
    return None if row is None else Endpoint(*row)


async def change_endpoint(
    connection: AsyncConnection, endpoint: Endpoint, changes: Mapping[str, Any]
) -> None:
    """Give it another name, url or event_types; what waits to be told goes to the new URL."""
    same = {"name": endpoint.name, "url": endpoint.url, "event_types": endpoint.event_types}
    other = {**same, **changes}
    other["event_types"] = list(other["event_types"])
    await connection.execute(CHANGE, {**_whose(endpoint), **other})


async def rotate_secret(
    connection: AsyncConnection, endpoint: Endpoint, *, keep_old: bool, retried: bool = False
) -> None:
    """The next secret signs from now on; with `keep_old` the one before for a day, too.

    What is `retried` was done before, as far as that can be seen: then nothing changes.
    """
    asked = {**_whose(endpoint), "keep_old": keep_old, "retried": retried and keep_old}
    await connection.execute(ROTATE, asked)


async def enable_endpoint(connection: AsyncConnection, endpoint: Endpoint) -> None:
    """It is told again, as one that never failed."""
    await connection.execute(ENABLE, _whose(endpoint))


async def delete_endpoint(connection: AsyncConnection, tenant_id: str, endpoint_id: str) -> bool:
    """It is told nothing more, of what waits neither; False for an id that is none."""
    whose = {"tenant_id": tenant_id, "id": endpoint_id}
    gone = (await connection.execute(DELETE, whose)).scalar_one_or_none() is not None
    if gone:
        await connection.execute(DROP, {"id": endpoint_id})
    return gone


def _whose(endpoint: Endpoint) -> dict[str, Any]:
    return {"tenant_id": endpoint.tenant_id, "id": endpoint.id}


def _told(wanted: Wanted) -> dict[str, Any]:
    return {"name": wanted.name, "url": wanted.url, "event_types": list(wanted.event_types)}
