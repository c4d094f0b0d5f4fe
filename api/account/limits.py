"""Limits of any tenant over HTTP: read and change; needs the scope operator."""

from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from api.bodies import body_of
from api.deps import AnyParts, Operator
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from shared.db.limits import MOST, TenantLimits, change_limits, read_limits
from shared.domain.errors import NotFoundError

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/v1/tenants", tags=["account"])
Name = Annotated[str, Path(max_length=63)]
Count = Annotated[int, Field(ge=1, le=MOST)] | None


class LimitChanges(BaseModel):
    """Limits to set; null takes one away, one that is not named stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_running: Count = None
    max_queued: Count = None
    max_queued_bytes: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    requests_per_minute: Count = None


class TenantLimitsRead(BaseModel):
    """What a tenant may do; null: no limit of that kind."""

    object: Literal["tenant.limits"] = "tenant.limits"
    name: str
    limits: TenantLimits


@router.get(
    "/{name}/limits",
    operation_id="get_tenant_limits",
    summary="Read the limits of a tenant",
    responses=error_responses(404),
)
async def get_limits(parts: AnyParts, _: Operator, name: Name) -> TenantLimitsRead:
    """Of any tenant, by its name; `/api/v1/me` tells everybody its own."""
    async with parts.database.transaction() as connection:
        return _told(name, await read_limits(connection, name))


@router.patch(
    "/{name}/limits",
    operation_id="change_tenant_limits",
    summary="Change the limits of a tenant",
    responses=error_responses(400, 404),
    openapi_extra=body_of(LimitChanges),
)
async def patch_limits(
    request: Request, parts: AnyParts, caller: Operator, name: Name
) -> TenantLimitsRead:
    """They count everywhere within some seconds; what runs or waits already is not touched."""
    changes = parse_as(LimitChanges, parse_json(await request.body()))
    named = changes.model_dump(include=changes.model_fields_set)
    async with parts.database.transaction() as connection:
        told = _told(name, await change_limits(connection, name, named))
    log.info("limits_changed", what=name, detail=named, tenant_id=caller.tenant_id)
    return told


def _told(name: str, limits: TenantLimits | None) -> TenantLimitsRead:
    if limits is None:
        message = f"no tenant {name!r}"
        raise NotFoundError(message)
    return TenantLimitsRead(name=name, limits=limits)
