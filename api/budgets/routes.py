"""Budgets over HTTP: make, change, archive and look at them; changes need the scope admin."""

from dataclasses import replace
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from api.bodies import body_of
from api.budgets.check import payer, require_name, require_policy, require_zone
from api.budgets.schemas import (
    BUDGET_EXAMPLE,
    CHANGE_EXAMPLE,
    AlertList,
    AlertRead,
    BudgetChange,
    BudgetCreate,
    BudgetList,
    BudgetRead,
)
from api.deps import Admin, AnyParts, Reader
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from shared.db.budget_rows import (
    Standing,
    archive_budget,
    change_budget,
    create_budget,
    find_budget,
    list_budgets,
    read_alerts,
)
from shared.db.tenants import Caller
from shared.domain.budget import AtLimit, Budget, Payer
from shared.domain.errors import ConflictError, InvalidRequestError, NotFoundError
from shared.domain.ids import IdKind, new_id
from shared.domain.money import to_nano
from shared.security.keys import Scope

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/v1/budgets", tags=["budgets"])
BudgetId = Annotated[str, Path(max_length=64, examples=["bud_06gvp37aldqhh801vvaql8icro"])]
NOT_NULL = ("cap_usd", "at_limit", "alerts")
OF_DOWNGRADE = ("downgrade_at", "downgrade_to")


@router.post(
    "",
    status_code=201,
    operation_id="create_budget",
    summary="Create a budget",
    responses=error_responses(400, 409),
    openapi_extra=body_of(BudgetCreate, example=BUDGET_EXAMPLE),
)
async def create_budget_route(request: Request, parts: AnyParts, caller: Admin) -> BudgetRead:
    """It counts what is released from now on; what was spent before is not in it."""
    asked = parse_as(BudgetCreate, parse_json(await request.body()))
    require_name(asked.name)
    async with parts.database.transaction() as connection:
        wanted = Payer(caller.tenant_id, asked.scope, asked.subject or "")
        budget = Budget(
            id=new_id(IdKind.BUDGET),
            payer=await payer(parts, connection, caller, house=asked.house, wanted=wanted),
            cap_nano=to_nano(asked.cap_usd),
            **asked.model_dump(exclude={"scope", "subject", "house", "cap_usd"}),
        )
        require_policy(parts, budget)
        await require_zone(connection, budget.time_zone)
        if not await create_budget(connection, budget):
            message = f"name: a budget {asked.name!r} exists already"
            raise ConflictError(message, field="name")
        return _told("budget_created", caller, await _found(connection, caller, budget.id))


@router.get("", operation_id="list_budgets", summary="List budgets", responses=error_responses())
async def list_budgets_route(parts: AnyParts, caller: Reader) -> BudgetList:
    """Of the caller's tenant; an operator sees those over all tenants, too."""
    async with parts.database.transaction() as connection:
        found = await list_budgets(connection, caller.tenant_id, house=_sees_house(caller))
    return BudgetList(data=[BudgetRead.of(each) for each in found])


@router.get(
    "/{budget_id}",
    operation_id="get_budget",
    summary="Read a budget",
    responses=error_responses(404),
)
async def get_budget(parts: AnyParts, caller: Reader, budget_id: BudgetId) -> BudgetRead:
    """With what its window has seen; an archived one is told as it ended."""
    async with parts.database.transaction() as connection:
        return BudgetRead.of(await _found(connection, caller, budget_id))


@router.patch(
    "/{budget_id}",
    operation_id="change_budget",
    summary="Change a budget",
    responses=error_responses(400, 404, 409),
    openapi_extra=body_of(BudgetChange, example=CHANGE_EXAMPLE),
)
async def change_budget_route(
    request: Request, parts: AnyParts, caller: Admin, budget_id: BudgetId
) -> BudgetRead:
    """Its cap, alerts, and what happens at the limit; it counts at once.

    Below what is spent already a cap stops new calls; those on their way end as they do.
    """
    changes = _changes(parse_as(BudgetChange, parse_json(await request.body())))
    async with parts.database.transaction() as connection:
        standing = await _living(connection, caller, budget_id)
        if changes.get("at_limit", AtLimit.DOWNGRADE) is not AtLimit.DOWNGRADE:
            changes = dict.fromkeys(OF_DOWNGRADE) | changes
        budget = replace(standing.budget, **changes)
        require_policy(parts, budget)
        await change_budget(connection, budget)
        return _told("budget_changed", caller, await _found(connection, caller, budget_id))


@router.delete(
    "/{budget_id}",
    operation_id="archive_budget",
    summary="Archive a budget",
    responses=error_responses(404, 409),
)
async def archive_budget_route(parts: AnyParts, caller: Admin, budget_id: BudgetId) -> BudgetRead:
    """It limits nothing from now on; what it has counted stays to be read."""
    async with parts.database.transaction() as connection:
        await _living(connection, caller, budget_id)
        await archive_budget(connection, budget_id)
        return _told("budget_archived", caller, await _found(connection, caller, budget_id))


@router.get(
    "/{budget_id}/alerts",
    operation_id="list_budget_alerts",
    summary="List the alerts of a budget",
    responses=error_responses(404),
)
async def list_alerts(parts: AnyParts, caller: Reader, budget_id: BudgetId) -> AlertList:
    """Of all its windows, the newest first."""
    async with parts.database.transaction() as connection:
        await _found(connection, caller, budget_id)
        rows = await read_alerts(connection, budget_id)
    return AlertList(data=[AlertRead.of(row) for row in rows])


def _changes(asked: BudgetChange) -> dict[str, Any]:
    """The named fields of a Budget. Raises InvalidRequestError for null where there is none."""
    named = {name: getattr(asked, name) for name in asked.model_fields_set}
    if empty := next((name for name in NOT_NULL if name in named and named[name] is None), None):
        message = f"{empty}: null means nothing here; leave it out to keep it"
        raise InvalidRequestError(message, field=empty)
    if "cap_usd" in named:
        named["cap_nano"] = to_nano(named.pop("cap_usd"))
    return named


def _sees_house(caller: Caller) -> bool:
    return Scope.OPERATOR in caller.scopes


async def _found(
    connection: AsyncConnection, caller: Caller, budget_id: str, *, lock: bool = False
) -> Standing:
    """Raises NotFoundError, for another tenant's too."""
    found = await find_budget(
        connection, caller.tenant_id, budget_id, house=_sees_house(caller), lock=lock
    )
    if found is None:
        message = f"no budget {budget_id!r}"
        raise NotFoundError(message)
    return found


async def _living(connection: AsyncConnection, caller: Caller, budget_id: str) -> Standing:
    """One that nobody else changes meanwhile. Raises ConflictError when it is archived."""
    found = await _found(connection, caller, budget_id, lock=True)
    if found.archived_at is not None:
        message = f"budget {budget_id} is archived: make another one"
        raise ConflictError(message)
    return found


def _told(event: str, caller: Caller, standing: Standing) -> BudgetRead:
    budget = BudgetRead.of(standing)
    detail = budget.model_dump(mode="json", include={"cap", "at_limit", "alerts"})
    log.info(event, what=budget.name, detail=detail, tenant_id=caller.tenant_id)
    return budget
