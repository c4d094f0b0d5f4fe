"""What a query about usage means: whose calls, of which time; every refusal names the field."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Parts
from api.usage.schemas import FILTERS, TimeQuery, UsageQuery
from shared.db.rollup import begin
from shared.db.tenants import Caller
from shared.db.usage import DAY, Page, Span, tenant_named
from shared.domain.budget import EVERYBODY, Every
from shared.domain.clock import SystemClock
from shared.domain.errors import InvalidRequestError, NotFoundError, NotPermittedError
from shared.domain.usage import Dimension
from shared.security.keys import Scope

PLACE: Final = TypeAdapter(list[str])
USUAL_DAYS: Final = 7
"""Today among them."""
MINUTE: Final = timedelta(minutes=1)


async def whose(connection: AsyncConnection, caller: Caller, tenant: str | None) -> str | None:
    """The id of the tenant that is asked for; None: all of them, for an operator."""
    if tenant is None:
        if caller.scopes.isdisjoint({Scope.JOBS_READ, Scope.ADMIN}):
            raise NotPermittedError(f"this API key lacks the scope {Scope.JOBS_READ!s}")
        return caller.tenant_id
    if Scope.OPERATOR not in caller.scopes:
        message = f"tenant: only a key with the scope {Scope.OPERATOR!s} may ask for others' usage"
        raise NotPermittedError(message)
    if tenant == EVERYBODY:
        return None
    found = await tenant_named(connection, tenant)
    if found is None:
        raise NotFoundError(f"tenant: no tenant {tenant!r}")
    return found


def times(asked: TimeQuery) -> tuple[datetime, datetime]:
    """From when to when, in whole minutes."""
    end = begin(SystemClock().now() + DAY, "day")
    if asked.to is not None:
        end = _whole(asked.to + MINUTE - timedelta(microseconds=1))
    usual = begin(end - MINUTE, "day") - (USUAL_DAYS - 1) * DAY
    start = _whole(asked.from_) if asked.from_ else usual
    if start >= end:
        raise InvalidRequestError("to: it must be later than `from`", field="to")
    return start, end


def total_of(parts: Parts, asked: TimeQuery, tenant_id: str | None) -> Span:
    """All calls of that time. Raises InvalidRequestError where sums do not tell of them."""
    start, end = times(asked)
    return _known(parts, Span(tenant_id=tenant_id, start=start, end=end))


def span_of(parts: Parts, asked: UsageQuery, tenant_id: str | None) -> Span:
    """The calls that are asked for. Raises InvalidRequestError where sums do not tell of them."""
    start, end = times(asked)
    filters: dict[Dimension, list[str]] = {
        each: wanted for each in FILTERS if (wanted := getattr(asked, each.value))
    }
    span = Span(
        tenant_id=tenant_id,
        start=start,
        end=end,
        every=Every(asked.every),
        time_zone=_time_zone(asked.time_zone),
        rehearsals=asked.rehearsals,
        filters=filters,
    )
    return _known(parts, span)


def page_of(asked: UsageQuery) -> Page:
    """How the sums are told apart, and where the list goes on."""
    names = [name.strip() for name in asked.group_by.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Dimension)]
    if unknown:
        message = f"group_by: nothing is called {unknown[0]!r}; there are {', '.join(Dimension)}"
        raise InvalidRequestError(message, field="group_by")
    group_by = tuple(Dimension(name) for name in dict.fromkeys(names))
    return Page(group_by=group_by, after=_after(asked.after, len(group_by)), limit=asked.limit)


def cursor(row: Any, groups: int) -> str:
    """What `_after` reads."""
    place = [row.at.isoformat(), *(getattr(row, f"group_{n}") for n in range(groups))]
    return urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _after(given: str | None, groups: int) -> list[str] | None:
    if given is None:
        return None
    try:
        place = PLACE.validate_json(urlsafe_b64decode(given + "=" * (-len(given) % 4)))
        datetime.fromisoformat(place[0])
    except (ValueError, IndexError):
        place = []
    if len(place) != groups + 1 or any("\0" in each for each in place):
        message = "after: give what the last reply has in `next`, and ask the same otherwise"
        raise InvalidRequestError(message, field="after")
    return place


def _time_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, LookupError):
        message = f"time_zone: {name!r} is no time zone; give an IANA name such as Europe/Berlin"
        raise InvalidRequestError(message, field="time_zone") from None


def _known(parts: Parts, span: Span) -> Span:
    """The same: what only the sums by the minute tell can be asked for while they are kept."""
    days, needed = parts.settings.retention.usage_minute_days, span.minutes_from()
    if days is None or needed is None:
        return span
    if needed < SystemClock().now() - timedelta(days=days):
        message = (
            f"from: sums by the minute are kept for {days:g} days; for older calls ask for whole "
            "hours: every=hour or longer, and a time_zone that is whole hours off UTC"
        )
        raise InvalidRequestError(message, field="from")
    return span


def _whole(moment: datetime) -> datetime:
    return begin(moment, "minute")
