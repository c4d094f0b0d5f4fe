"""What both faces of the endpoints do: make, change, rotate, delete, test."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Parts
from api.webhooks.check import require_url
from shared.db.endpoints import (
    MOST_BY_HAND,
    MOST_OF_JOBS,
    Endpoint,
    Wanted,
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    endpoint_of_jobs,
    find_endpoint,
    list_endpoints,
    lock_endpoints,
    made_lately,
    rotate_secret,
)
from shared.db.tenants import Caller
from shared.domain.clock import SystemClock
from shared.domain.errors import ConflictError, InvalidRequestError, NotFoundError
from shared.domain.event import EventType
from shared.domain.ids import IdKind, new_id
from shared.faces.webhook_body import webhook_body
from shared.security.egress import Egress
from shared.security.posting import Message, Posted, post_signed
from shared.security.webhooks import endpoint_secret, endpoint_secrets, hint_of

log = structlog.get_logger(__name__)
SUBJECT_OF_TYPE: Final[Mapping[str, str]] = {
    "batch": IdKind.BATCH,
    "response": "resp",
    "job": IdKind.JOB,
    "webhook_endpoint": IdKind.ENDPOINT,
}
"""What the ids of a sample look like, by the first word of its type."""


def secret_of(parts: Parts, endpoint: Endpoint) -> SecretStr:
    """The secret that signs now."""
    return endpoint_secret(parts.settings.pepper, endpoint.id, endpoint.secret_number)


def hint(parts: Parts, endpoint: Endpoint) -> str:
    """As much of it as tells it from another."""
    return hint_of(secret_of(parts, endpoint))


async def make(parts: Parts, caller: Caller, wanted: Wanted, *, retried: bool = False) -> Endpoint:
    """Raises InvalidRequestError for its URL, ConflictError where there are too many.

    `retried`: an earlier try of the same may have made it, and is found.
    """
    _require_url(parts, wanted.url)
    async with parts.database.transaction() as connection:
        await lock_endpoints(connection, caller.tenant_id)
        if retried and (known := await made_lately(connection, caller.tenant_id, wanted)):
            return known
        if wanted.of_jobs:
            await _require_new(connection, caller, wanted)
        endpoint = await create_endpoint(connection, caller.tenant_id, wanted)
    if endpoint is None:
        most = MOST_OF_JOBS if wanted.of_jobs else MOST_BY_HAND
        message = f"there are {most} webhook endpoints already, the most: delete one"
        raise ConflictError(message)
    log.info("webhook_made", what=endpoint.id, tenant_id=caller.tenant_id)
    return endpoint


async def found(parts: Parts, caller: Caller, endpoint_id: str) -> Endpoint:
    """Raises NotFoundError, for another tenant's too."""
    async with parts.database.transaction() as connection:
        return await required(connection, caller, endpoint_id)


async def page(
    parts: Parts, caller: Caller, *, after: str | None, limit: int
) -> tuple[Sequence[Endpoint], bool]:
    """The newest first, and whether there are more."""
    async with parts.database.transaction() as connection:
        rows = await list_endpoints(connection, caller.tenant_id, after=after, limit=limit + 1)
    return rows[:limit], len(rows) > limit


async def change(
    parts: Parts, caller: Caller, endpoint_id: str, changes: Mapping[str, Any]
) -> Endpoint:
    """Only what is named becomes another. Raises InvalidRequestError, ConflictError."""
    if empty := next((name for name, value in changes.items() if value is None), None):
        message = f"{empty}: null means nothing here; leave it out to keep it"
        raise InvalidRequestError(message, field=empty)
    if "url" in changes:
        _require_url(parts, changes["url"])
    async with parts.database.transaction() as connection:
        endpoint = await required(connection, caller, endpoint_id, lock=True)
        if endpoint.of_jobs and changes.keys() - {"name"}:
            message = f"{endpoint_id} is for the jobs that name its url and events: make another"
            raise ConflictError(message)
        await change_endpoint(connection, endpoint, changes)
        return await required(connection, caller, endpoint_id)


async def rotate(
    parts: Parts, caller: Caller, endpoint_id: str, *, keep_old: bool, retried: bool = False
) -> Endpoint:
    """The next secret signs from now on; where an earlier try did it, that one's."""
    async with parts.database.transaction() as connection:
        endpoint = await required(connection, caller, endpoint_id, lock=True)
        await rotate_secret(connection, endpoint, keep_old=keep_old, retried=retried)
        log.info("webhook_secret_rotated", what=endpoint_id, tenant_id=caller.tenant_id)
        return await required(connection, caller, endpoint_id)


async def remove(parts: Parts, caller: Caller, endpoint_id: str) -> None:
    """It is told nothing more. Raises NotFoundError."""
    async with parts.database.transaction() as connection:
        if not await delete_endpoint(connection, caller.tenant_id, endpoint_id):
            raise _unknown(endpoint_id)
    parts.webhooks.forget(endpoint_id)
    log.info("webhook_deleted", what=endpoint_id, tenant_id=caller.tenant_id)


async def test(parts: Parts, caller: Caller, endpoint_id: str, kind: EventType) -> Posted:
    """Send a sample now, signed as every delivery is; it leaves no row and is not repeated."""
    endpoint = await found(parts, caller, endpoint_id)
    event_id = new_id(IdKind.EVENT)
    subject = f"{SUBJECT_OF_TYPE[kind.partition('.')[0]]}_test"
    body = webhook_body(event_id, kind, SystemClock().now(), {"id": subject})
    secrets = endpoint_secrets(
        parts.settings.pepper,
        endpoint.id,
        endpoint.secret_number,
        with_old=endpoint.old_secret_until is not None,
    )
    async with Egress(allow_loopback=parts.settings.egress.allow_loopback) as egress:
        return await post_signed(egress, endpoint.url, secrets, Message(event_id, body))


async def required(
    connection: AsyncConnection, caller: Caller, endpoint_id: str, *, lock: bool = False
) -> Endpoint:
    """Raises NotFoundError, for another tenant's too."""
    endpoint = await find_endpoint(connection, caller.tenant_id, endpoint_id, lock=lock)
    if endpoint is None:
        raise _unknown(endpoint_id)
    return endpoint


def _require_url(parts: Parts, url: str) -> None:
    require_url(url, field="url", development=parts.settings.egress.allow_loopback)


async def _require_new(connection: AsyncConnection, caller: Caller, wanted: Wanted) -> None:
    """Raises ConflictError where jobs that name it have an endpoint already."""
    known = await endpoint_of_jobs(connection, caller.tenant_id, wanted.url, wanted.event_types)
    if known is not None:
        message = f"url: {known.id} is for the jobs that name it already; GET its secret"
        raise ConflictError(message, field="url")


def _unknown(endpoint_id: str) -> NotFoundError:
    return NotFoundError(f"no webhook endpoint {endpoint_id!r}")
