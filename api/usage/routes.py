"""Usage over HTTP: the sums of a tenant's calls, by period and group."""

from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Query

from api.deps import AnyCaller, AnyParts
from api.errors import error_responses
from api.usage.asked import cursor, page_of, span_of, total_of, whose
from api.usage.savings import ANSWERED, GROUP_BY, SavingsRead, savings_of
from api.usage.schemas import TimeQuery, UsageQuery, UsageRead, UsageRow
from shared.db.reach import read_reach
from shared.db.usage import Page, read_usage
from shared.domain.clock import SystemClock

router = APIRouter(prefix="/api/v1/usage", tags=["usage"])

MOST_DEPLOYMENTS: Final = 10_000


@router.get(
    "",
    operation_id="get_usage",
    summary="Sum up calls, tokens, cost and latency",
    responses=error_responses(400, 404),
)
async def usage(
    parts: AnyParts, caller: AnyCaller, asked: Annotated[UsageQuery, Query()]
) -> UsageRead:
    """The caller's calls by period and group; some seconds after their end they are in it.

    A call counts when it was sent. Go on with `after` = the last reply's `next`.
    """
    page = page_of(asked)
    async with parts.database.transaction() as connection:
        span = span_of(parts, asked, await whose(connection, caller, asked.tenant))
        rows = await read_usage(connection, span, page)
    group_by = tuple(page.group_by)
    more, shown = len(rows) > page.limit, rows[: page.limit]
    return UsageRead(
        from_=span.start,
        to=span.end,
        every=asked.every,
        time_zone=span.time_zone,
        group_by=list(group_by),
        data=[UsageRow.of(row, group_by) for row in shown],
        has_more=more,
        next=cursor(shown[-1], len(group_by)) if more else None,
    )


@router.get(
    "/savings",
    operation_id="get_savings",
    summary="What the same calls would have cost elsewhere",
    responses=error_responses(400, 404),
)
async def savings(
    parts: AnyParts, caller: AnyCaller, asked: Annotated[TimeQuery, Query()]
) -> SavingsRead:
    """Compared with other providers of the same model, and with the other models that were used.

    `assumptions` says in words what the comparison takes for granted.
    """
    async with parts.database.transaction() as connection:
        tenant_id = await whose(connection, caller, asked.tenant)
        span = replace(total_of(parts, asked, tenant_id), filters=ANSWERED)
        rows = await read_usage(connection, span, Page(group_by=GROUP_BY, limit=MOST_DEPLOYMENTS))
        reach = await read_reach(connection)
    return savings_of(rows, span, parts.catalog, reach, SystemClock().now())
