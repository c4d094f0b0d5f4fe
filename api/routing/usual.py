"""The caller's own policy over HTTP: what holds for its jobs where these say nothing else."""

from typing import Any, Literal

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel

from api.bodies import body_of
from api.deps import Admin, AnyParts, Reader
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from shared.db.policies import read_policy, write_policy
from shared.db.tenants import Caller
from shared.routing.policy import Policy
from shared.routing.routes import check_names

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/v1/policy", tags=["account"])


class PolicyRead(BaseModel):
    """A tenant's policy; null: it has none."""

    object: Literal["tenant.policy"] = "tenant.policy"
    policy: dict[str, Any] | None


@router.get(
    "",
    operation_id="get_policy",
    summary="Read the policy of your jobs",
    responses=error_responses(),
)
async def get_policy(parts: AnyParts, caller: Reader) -> PolicyRead:
    """It holds for every job of the tenant, field by field, where neither job nor route says it."""
    async with parts.database.transaction() as connection:
        return PolicyRead(policy=await read_policy(connection, caller.tenant_id))


@router.put(
    "",
    operation_id="set_policy",
    summary="Set the policy of your jobs",
    responses=error_responses(400),
    openapi_extra=body_of(Policy),
)
async def set_policy(request: Request, parts: AnyParts, caller: Admin) -> PolicyRead:
    """It replaces the one before and counts for what is submitted some seconds later."""
    policy = parse_as(Policy, parse_json(await request.body()))
    check_names(parts.catalog, "", policy)
    value = policy.model_dump(mode="json", exclude_unset=True)
    return await _changed(parts, caller, value)


@router.delete(
    "",
    operation_id="delete_policy",
    summary="Take away the policy of your jobs",
    responses=error_responses(),
)
async def delete_policy(parts: AnyParts, caller: Admin) -> PolicyRead:
    """Jobs that wait keep what they were submitted with."""
    return await _changed(parts, caller, None)


async def _changed(parts: AnyParts, caller: Caller, value: dict[str, Any] | None) -> PolicyRead:
    async with parts.database.transaction() as connection:
        await write_policy(connection, caller.tenant_id, value)
    log.info("policy_changed", detail=value, tenant_id=caller.tenant_id)
    parts.keys.clear()
    return PolicyRead(policy=value)
