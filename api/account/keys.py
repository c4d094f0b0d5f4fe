"""A tenant's own keys over HTTP: list, create, revoke; all of it needs the scope admin."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.account.projects import project_of
from api.bodies import body_of
from api.deps import Admin, AnyParts
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import Label, Moment
from shared.db.limits import MOST, KeyLimits
from shared.db.tenants import (
    Revoked,
    create_key,
    list_keys,
    read_key,
    revoke_key,
)
from shared.domain.clock import SystemClock
from shared.domain.errors import ConflictError, NotFoundError, NotPermittedError
from shared.security.keys import Scope

router = APIRouter(prefix="/api/v1/keys", tags=["account"])
ENVIRONMENT = "live"
"""The word inside a key's text; keys of a local stack say `local`."""


class KeyCreate(BaseModel):
    """A key as it is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1)] = [Scope.JOBS_READ, Scope.JOBS_WRITE]
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    max_running: Annotated[int, Field(ge=1, le=MOST)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=MOST)] | None = None
    project: Label | None = None
    """All jobs by it belong to this project."""


class KeyItem(BaseModel):
    """A key without its secret."""

    id: str
    object: Literal["key"] = "key"
    name: str
    scopes: list[Scope]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
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
            max_running=row.max_running,
            requests_per_minute=row.requests_per_minute,
            project=row.project,
        )


class KeyCreated(KeyItem):
    """A new key; its text is in this reply and nowhere else."""

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


@router.post(
    "/{key_id}/revoke",
    operation_id="revoke_key",
    summary="Revoke a key",
    responses=error_responses(404, 409),
)
async def revoke_key_route(
    parts: AnyParts,
    caller: Admin,
    key_id: Annotated[str, Path(max_length=64)],
    force: Annotated[bool, Query(description="Also the last key with the scope admin")] = False,  # noqa: FBT002
) -> KeyItem:
    """It counts no longer than a few seconds in other API processes; revoke twice is harmless."""
    async with parts.database.transaction() as connection:
        outcome = await revoke_key(connection, caller.tenant_id, key_id, force=force)
        row = await read_key(connection, caller.tenant_id, key_id)
    if outcome is Revoked.NOT_FOUND:
        message = f"no key {key_id!r}"
        raise NotFoundError(message)
    if outcome is Revoked.LAST_ADMIN:
        message = (
            f"{key_id} is the tenant's last key with the scope admin: without it nobody can make "
            "or revoke keys; create another admin key first, or send force=true"
        )
        raise ConflictError(message)
    parts.keys.pop(key_id, None)
    return KeyItem.of(row)
