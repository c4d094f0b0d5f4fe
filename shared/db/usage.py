"""Read the sums of usage: by period and dimension, a page at a time; nothing here changes a row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import REHEARSAL_PREFIX
from shared.db.rollup import BEGINS, SUMS, begin
from shared.domain.attempt import AttemptState
from shared.domain.budget import Every
from shared.domain.usage import KIND_MARK, LATENCY_BUCKETS, Dimension

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
LENGTHS: Final = {"minute": timedelta(minutes=1), "hour": HOUR, "day": DAY}
COARSEST_FIRST: Final = tuple(reversed(BEGINS))
UTC_NAME: Final = "UTC"
GROUPED: Final = {
    Dimension.TENANT: "tenants.name",
    Dimension.PROJECT: "project",
    Dimension.KEY: "key_id",
    Dimension.TAG: "coalesce(tag, '')",
    Dimension.PROVIDER: "provider",
    Dimension.MODEL: "model",
    Dimension.ROUTE: "route",
    Dimension.OUTCOME: "outcome",
}
JOINED: Final = {
    Dimension.TENANT: "JOIN tenants ON tenants.id = tenant_id",
    Dimension.TAG: "LEFT JOIN LATERAL unnest(tags) AS tag ON true",
}
ANY: Final = "{column} = ANY(CAST(:{name} AS text[]))"
TESTED: Final = {
    Dimension.TAG: "tags && CAST(:tag AS text[])",
    # `refused` stands for every kind of it.
    Dimension.OUTCOME: f"({ANY} OR split_part(outcome, '{KIND_MARK}', 1)"
    " = ANY(CAST(:outcome AS text[])))",
}
COLUMNS: Final = (
    f"at, tenant_id, project, key_id, tags, provider, model, route, outcome,"
    f" {', '.join(SUMS)}, latencies"
)
ANSWERED: Final = f"sum(calls) FILTER (WHERE outcome = '{AttemptState.ANSWERED}')"
# One by one: to unnest every row's array and add up by place takes several times as long.
LATENCIES: Final = ", ".join(
    f"coalesce(sum(latencies[{n + 1}]), 0)::bigint" for n in range(LATENCY_BUCKETS)
)
MEASURES: Final = (
    ", ".join(f"sum({name})::bigint AS {name}" for name in SUMS)
    + f""",
coalesce({ANSWERED}, 0)::bigint AS answered, ARRAY[{LATENCIES}] AS latencies"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Calls that were sent from `start` on and before `end`, both whole minutes."""

    tenant_id: str | None
    """None: of all tenants."""
    start: datetime
    end: datetime
    every: Every = Every.TOTAL
    time_zone: str = UTC_NAME
    """An IANA name: where the periods begin."""
    rehearsals: bool = False
    """Only the calls of rehearsals; otherwise none of them."""
    filters: Mapping[Dimension, Sequence[str]] = field(default_factory=dict)

    def minutes_from(self) -> datetime | None:
        """The first moment for which the sums by the minute are needed; None: they are not."""
        starts = [start for grain, start, _ in self.pieces() if grain == "minute"]
        return min(starts, default=None)

    def pieces(self) -> Iterator[tuple[str, datetime, datetime]]:
        """Which sums tell of which time: the coarsest that can, finer ones at the edges."""
        yield from _pieces(self.start, self.end, self._grains())

    def _grains(self) -> tuple[str, ...]:
        """The sums of which its periods are made, the coarsest first."""
        if self.every is Every.TOTAL:
            return COARSEST_FIRST
        if self.every is Every.MINUTE or not self._in_whole_hours():
            return COARSEST_FIRST[-1:]
        return COARSEST_FIRST[self.every is Every.HOUR or self.time_zone != UTC_NAME :]

    def _in_whole_hours(self) -> bool:
        """Whether clocks of the zone are whole hours off those of UTC all the time."""
        try:
            zone = ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            return False
        days = range((self.end - self.start).days + 1)
        moments = (*(self.start + DAY * day for day in days), self.end)
        return not any((moment.astimezone(zone).utcoffset() or DAY) % HOUR for moment in moments)


def _pieces(
    start: datetime, end: datetime, grains: Sequence[str]
) -> Iterator[tuple[str, datetime, datetime]]:
    grain, *finer = grains
    first, last = begin(start, grain), begin(end, grain)
    if first < start:
        first += LENGTHS[grain]
    if not finer:
        yield grain, start, end
    elif first >= last:
        yield from _pieces(start, end, finer)
    else:
        if start < first:
            yield from _pieces(start, first, finer)
        yield grain, first, last
        if last < end:
            yield from _pieces(last, end, finer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How the sums are told apart, where the list goes on, and how far."""

    group_by: Sequence[Dimension] = ()
    after: Sequence[str] | None = None
    """The last row's moment and groups."""
    limit: int = 1000


# To compile so many sums takes longer than to run them.
PLAIN: Final = text("SET LOCAL jit = off")


async def read_usage(connection: AsyncConnection, span: Span, page: Page) -> list[Row[Any]]:
    """Sums by period and group in their order, one row more than asked where there are more.

    A row has `at`, `group_0` and so on in the order asked, the sums, `answered` calls, and
    `latencies`, calls by bucket.
    """
    values: dict[str, Any] = {"limit": page.limit + 1}
    source = _source(span, values)
    groups = [f"group_{n}" for n in range(len(page.group_by))]
    grouped = "".join(
        f", {GROUPED[each]} AS {name}" for each, name in zip(page.group_by, groups, strict=True)
    )
    joins = " ".join(JOINED.get(each, "") for each in page.group_by)
    places = ", ".join(str(n + 1) for n in range(len(groups) + 1))
    statement = f"""
        SELECT * FROM (
            SELECT {_period(span, values)} AS at{grouped}, {MEASURES}
            FROM ({source}) AS source {joins}
            GROUP BY {places} HAVING sum(calls) <> 0 OR sum(cost_nano) <> 0
        ) AS summed
        {_beyond(page, groups, values)}
        ORDER BY {places} LIMIT :limit
    """
    await connection.execute(PLAIN)
    return list(await connection.execute(text(statement), values))


def _source(span: Span, values: dict[str, Any]) -> str:
    """The rows that are summed up, each call once."""
    tests = [f"starts_with(route, '{REHEARSAL_PREFIX}') = :rehearsals"]
    values["rehearsals"] = span.rehearsals
    if span.tenant_id is not None:
        tests.append("tenant_id = :tenant_id")
        values["tenant_id"] = span.tenant_id
    for dimension, wanted in span.filters.items():
        test = TESTED.get(dimension, ANY)
        tests.append(test.format(column=GROUPED[dimension], name=dimension))
        values[dimension.value] = list(wanted)
    parts = []
    for n, (grain, start, end) in enumerate(span.pieces()):
        values |= {f"start_{n}": start, f"end_{n}": end}
        parts.append(
            f"SELECT {COLUMNS} FROM usage_{grain}s"
            f" WHERE at >= :start_{n} AND at < :end_{n} AND {' AND '.join(tests)}"
        )
    return " UNION ALL ".join(parts)


def _period(span: Span, values: dict[str, Any]) -> str:
    """When the period of a row begins."""
    if span.every is Every.TOTAL:
        values["start"] = span.start
        return "CAST(:start AS timestamptz)"
    values |= {"every": span.every.value, "time_zone": span.time_zone}
    return "date_trunc(CAST(:every AS text), at, CAST(:time_zone AS text))"


def _beyond(page: Page, groups: Sequence[str], values: dict[str, Any]) -> str:
    if page.after is None:
        return ""
    names = [f"after_{n}" for n in range(len(page.after))]
    values |= dict(zip(names, page.after, strict=True))
    first, *rest = (f":{name}" for name in names)
    bounds = ", ".join((f"CAST({first} AS timestamptz)", *rest))
    return f"WHERE ({', '.join(('at', *groups))}) > ({bounds})"


TENANT_ID: Final = text("SELECT id FROM tenants WHERE name = :name")


async def tenant_named(connection: AsyncConnection, name: str) -> str | None:
    """The id of the tenant of that name; None where there is none."""
    return (await connection.execute(TENANT_ID, {"name": name})).scalar_one_or_none()
