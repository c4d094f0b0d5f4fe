"""What the command line says of usage, as the API takes it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cli.errors import InputError
from shared.domain.clock import SystemClock
from shared.domain.usage import Dimension

AGO: Final = re.compile(r"(\d{1,5})([hdw])")
HOURS: Final = {"h": 1, "d": 24, "w": 168}
CHOOSING: Final = tuple(each for each in Dimension if each is not Dimension.TENANT)


def times(last: str | None, start: str | None, end: str | None) -> dict[str, str | None]:
    """The parameters `from` and `to`. Raises InputError for what is no time."""
    if last is not None and (start or end):
        raise InputError("--last: it says from when to when; leave --from and --to out")
    began = _ago(last) if last is not None else _moment("--from", start)
    until = _moment("--to", end)
    return {
        "from": began.isoformat() if began else None, "to": until.isoformat() if until else None
    }  # fmt: skip


def words(by: Sequence[str]) -> list[str]:
    """What the calls are told apart by: repeated, or with commas between them."""
    named = [word.strip() for each in by for word in each.split(",") if word.strip()]
    for word in named:
        if word not in set(Dimension):
            raise InputError(f"--by {word}: there are {', '.join(Dimension)}")
    return list(dict.fromkeys(named))


def chosen(where: Sequence[str]) -> dict[str, list[str]]:
    """Filters of the API. Raises InputError for what is no `NAME=VALUE`."""
    found: dict[str, list[str]] = {}
    for each in where:
        name, equals, value = each.partition("=")
        if not equals or name not in CHOOSING:
            message = f"--where {each}: say NAME=VALUE, the name one of {', '.join(CHOOSING)}"
            raise InputError(message)
        found.setdefault(name, []).append(value)
    return found


def _ago(last: str) -> datetime:
    """When it began: hours to the hour, days whole and of UTC, today among them."""
    found = AGO.fullmatch(last.strip())
    if found is None or not int(found[1]):
        raise InputError(f"--last {last}: say how long, as in 24h, 7d or 4w")
    now = SystemClock().now().replace(minute=0, second=0, microsecond=0)
    hours = int(found[1]) * HOURS[found[2]]
    if found[2] == "h":
        return now - timedelta(hours=hours)
    return now.replace(hour=0) - timedelta(hours=hours - 24)


def _moment(option: str, given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        message = f"{option} {given}: say a day or a time, as in 2026-03-01 or 2026-03-01T12:00Z"
        raise InputError(message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
