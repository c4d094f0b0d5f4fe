"""Who am I: the caller's tenant and key."""

from dataclasses import replace
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import AnyCaller, AnyParts
from api.errors import error_responses
from shared.db.limits import KeyLimits, TenantLimits
from shared.security.keys import Scope

router = APIRouter(prefix="/api/v1", tags=["account"])


class TenantRead(BaseModel):
    """Who pays."""

    id: str
    name: str
    limits: TenantLimits
    """None: no limit of that kind."""


class KeyRead(BaseModel):
    """The key that was presented, without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    expires_at: datetime | None
    limits: KeyLimits
    project: str | None
    """All jobs by it belong to this project; None: each says it itself."""


class Me(BaseModel):
    """The caller."""

    tenant: TenantRead
    key: KeyRead


@router.get(
    "/me",
    operation_id="me",
    summary="The tenant and key of the caller",
    responses=error_responses(),
)
async def me(parts: AnyParts, caller: AnyCaller) -> Me:
    """Any living key may ask this."""
    most = caller.limits.max_queued or parts.settings.api.tenant_max_queued
    limits = replace(caller.limits, max_queued=most)
    return Me(
        tenant=TenantRead(id=caller.tenant_id, name=caller.tenant_name, limits=limits),
        key=KeyRead(
            id=caller.key_id,
            name=caller.key_name,
            scopes=sorted(caller.scopes),
            expires_at=caller.expires_at,
            limits=caller.key_limits,
            project=caller.project,
        ),
    )
