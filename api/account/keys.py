"""A tenant's own keys over HTTP: list, create, change, rotate, revoke; for the scope admin."""

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.account.projects import project_of
from api.bodies import body_of
from api.deps import Admin, AnyParts
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import Label, Moment
from shared.db.keys import NotRotated, change_key_limits, rotate_key
from shared.db.limits import MOST, KeyLimits
from shared.db.tenants import Caller, Revoked, create_key, list_keys, read_key, revoke_key
from shared.domain.clock import SystemClock
from shared.domain.errors import ConflictError, NotFoundError, NotPermittedError
from shared.security.keys import Scope

router = APIRouter(prefix="/api/v1/keys", tags=["account"])
ENVIRONMENT = "live"
"""The word inside a key's text; keys of a local stack say `local`."""


KeyId = Annotated[str, Path(max_length=64)]
Count = Annotated[int, Field(ge=1, le=MOST)] | None
MOST_OLD_SECONDS: Final = 30 * 86_400


class KeyCreate(BaseModel):
    """A key as it is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1)] = [Scope.JOBS_READ, Scope.JOBS_WRITE]
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    max_running: Count = None
    requests_per_minute: Count = None
    project: Label | None = None
    """All jobs by it belong to this project."""


class KeyChanges(BaseModel):
    """Limits to set; null takes one away, one that is not named stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_running: Count = None
    requests_per_minute: Count = None


class KeyRotation(BaseModel):
    """How a key gets a new secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    old_seconds: Annotated[int, Field(ge=0, le=MOST_OLD_SECONDS)] = 86_400
    """How long the secret before counts, too; 0: no longer, whatever its age."""


class KeyItem(BaseModel):
    """A key without its secret."""

    id: str
    object: Literal["key"] = "key"
    name: str
    scopes: list[Scope]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None
    """To the minute; None: never."""
    old_secret_until: Moment | None
    """Until then the secret before its last rotation counts, too."""
    max_running: int | None
    """Calls in flight at one time; None: as many as its tenant may have."""
    requests_per_minute: int | None
    project: str | None
    """All jobs by it belong to this project; None: each says it itself."""

    @classmethod
    def of(cls, row: Any) -> "KeyItem":
        """From a row of shared/db/tenants.py."""
        return cls(
            id=row.id,
            name=row.name,
            scopes=sorted(Scope(scope) for scope in row.scopes),
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            last_used_at=row.last_used_at,
            old_secret_until=row.old_secret_until,
            max_running=row.max_running,
            requests_per_minute=row.requests_per_minute,
            project=row.project,
        )


class KeyCreated(KeyItem):
    """A new key, or one with a new secret; its text is in this reply and nowhere else."""

    key: str


class KeyList(BaseModel):
    """All keys of the caller's tenant, the newest first."""

    data: list[KeyItem]


@router.get("", operation_id="list_keys", summary="List keys", responses=error_responses())
async def list_keys_route(parts: AnyParts, caller: Admin) -> KeyList:
    """Of the caller's tenant, revoked ones too."""
    async with parts.database.transaction() as connection:
        rows = await list_keys(connection, caller.tenant_id)
    return KeyList(data=[KeyItem.of(row) for row in rows])


@router.post(
    "",
    status_code=201,
    operation_id="create_key",
    summary="Create a key",
    responses=error_responses(400),
    openapi_extra=body_of(KeyCreate),
)
async def create_key_route(request: Request, parts: AnyParts, caller: Admin) -> KeyCreated:
    """For the caller's tenant; the reply is the only place where the key stands in clear."""
    asked = parse_as(KeyCreate, parse_json(await request.body()))
    if Scope.OPERATOR in asked.scopes and Scope.OPERATOR not in caller.scopes:
        message = "scopes: this API key lacks the scope operator, and cannot give it"
        raise NotPermittedError(message, field="scopes")
    lives, project = asked.expires_in_days, project_of(caller, asked.project)
    async with parts.database.transaction() as connection:
        key = await create_key(
            connection,
            caller.tenant_id,
            name=asked.name,
            scopes=set(asked.scopes),
            environment=ENVIRONMENT,
            pepper=parts.settings.pepper,
            expires_at=SystemClock().now() + timedelta(days=lives) if lives else None,
            limits=KeyLimits(
                max_running=asked.max_running, requests_per_minute=asked.requests_per_minute
            ),
            project=project,
        )
        row = await read_key(connection, caller.tenant_id, key.id)
    item = KeyItem.of(row)
    return KeyCreated(**item.model_dump(), key=key.plaintext.get_secret_value())


@router.patch(
    "/{key_id}",
    operation_id="change_key",
    summary="Change the limits of a key",
    responses=error_responses(400, 404),
    openapi_extra=body_of(KeyChanges),
)
async def change_key_route(
    request: Request, parts: AnyParts, caller: Admin, key_id: KeyId
) -> KeyItem:
    """They count everywhere within some seconds; what runs already is not touched."""
    changes = parse_as(KeyChanges, parse_json(await request.body()))
    named = changes.model_dump(include=changes.model_fields_set)
    async with parts.database.transaction() as connection:
        await change_key_limits(connection, caller.tenant_id, key_id, named)
        row = await read_key(connection, caller.tenant_id, key_id)
    if row is None:
        raise _no_key(key_id)
    parts.keys.pop(key_id, None)
    return KeyItem.of(row)


@router.post(
    "/{key_id}/rotate",
    operation_id="rotate_key",
    summary="Give a key a new secret",
    responses=error_responses(400, 404, 409),
    openapi_extra=body_of(KeyRotation, required=False),
)
async def rotate_key_route(
    request: Request,
    parts: AnyParts,
    caller: Admin,
    key_id: KeyId,
    force: Annotated[bool, Query(description="Two may count: the newer goes")] = False,  # noqa: FBT002
) -> KeyCreated:
    """Its id, scopes and limits stay; the secret before counts for `old_seconds` more.

    The reply is the only place where the key stands in clear.
    """
    raw = await request.body()
    asked = parse_as(KeyRotation, parse_json(raw)) if raw else KeyRotation()
    async with parts.database.transaction() as connection:
        row = await read_key(connection, caller.tenant_id, key_id)
        if row is None:
            raise _no_key(key_id)
        _require_giving(caller, row)
        key = await rotate_key(
            connection,
            caller.tenant_id,
            key_id,
            environment=ENVIRONMENT,
            pepper=parts.settings.pepper,
            old_seconds=asked.old_seconds,
            force=force,
        )
        row = await read_key(connection, caller.tenant_id, key_id)
    if isinstance(key, NotRotated):
        raise ConflictError(_why_not(key, row))
    parts.keys.pop(key_id, None)
    return KeyCreated(**KeyItem.of(row).model_dump(), key=key.plaintext.get_secret_value())


@router.post(
    "/{key_id}/revoke",
    operation_id="revoke_key",
    summary="Revoke a key",
    responses=error_responses(404, 409),
)
async def revoke_key_route(
    parts: AnyParts,
    caller: Admin,
    key_id: KeyId,
    force: Annotated[bool, Query(description="Also the last key with the scope admin")] = False,  # noqa: FBT002
) -> KeyItem:
    """It counts no longer than a few seconds in other API processes; revoke twice is harmless."""
    async with parts.database.transaction() as connection:
        outcome = await revoke_key(connection, caller.tenant_id, key_id, force=force)
        row = await read_key(connection, caller.tenant_id, key_id)
    if outcome is Revoked.NOT_FOUND:
        raise _no_key(key_id)
    if outcome is Revoked.LAST_ADMIN:
        message = (
            f"{key_id} is the tenant's last key with the scope admin: without it nobody can make "
            "or revoke keys; create another admin key first, or send force=true"
        )
        raise ConflictError(message)
    parts.keys.pop(key_id, None)
    return KeyItem.of(row)


def _no_key(key_id: str) -> NotFoundError:
    return NotFoundError(f"no key {key_id!r}")


def _require_giving(caller: Caller, row: Any) -> None:
    """Who rotates a key holds it: it must be one that the caller could have made."""
    if Scope.OPERATOR in row.scopes and Scope.OPERATOR not in caller.scopes:
        message = "that key has the scope operator, which this API key lacks and cannot give"
        raise NotPermittedError(message)
    if caller.project is not None and row.project != caller.project:
        message = f"this API key belongs to the project {caller.project!r}, and that one does not"
        raise NotPermittedError(message)


def _why_not(found: NotRotated, row: Any) -> str:
    if found is NotRotated.NOT_ALIVE:
        return f"{row.id} is revoked or expired; create another key"
    return (
        f"{row.id} was rotated lately: two of its secrets count until {row.old_secret_until}; "
        "wait, or send old_seconds 0 to end both, or force=true to replace the newer"
    )
