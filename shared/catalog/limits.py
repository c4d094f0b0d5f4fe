"""What a provider grants one deployment, and by which rule it counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, NonNegativeInt


class Counting(StrEnum):
    """How a provider counts tokens; the rules themselves are shared/meters/counting.py."""

    RESERVED = "reserved"
    """Input and the most output, on arrival; nothing comes back."""
    METERED = "metered"
    """Input that no cache had, and output as it is written; each has a limit of its own."""
    INPUT = "input"
    """Input alone."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"no time zone is called {name!r}; write one such as America/Los_Angeles"
        raise ValueError(message) from None
    return name


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a provider grants one deployment; 0 means no limit of that kind."""

    requests: NonNegativeInt = 0
    """Per window."""
    tokens: NonNegativeInt = 0
    """Per window, input and output together as `counts` has it."""
    input_tokens: NonNegativeInt = 0
    """Per window."""
    output_tokens: NonNegativeInt = 0
    """Per window."""
    requests_per_second: NonNegativeInt = 0
    requests_per_day: NonNegativeInt = 0
    day_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    """Whose midnight begins a day."""
    concurrency: NonNegativeInt = 0
    window: Seconds = 60.0
    """Seconds."""
    margin: Part = 0.005
    """The part of a limit left unused: `margin * window` seconds of jitter on the way to the
    provider cannot bring two windows together."""
    burst: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The part of a window's limit that may go at once after a rest; a window never has more than
    its limit, but some providers also look at parts of it."""
    short_windows: tuple[Seconds, ...] = ()
    """Seconds in each of which `requests` holds pro rata, too."""
    short_margin: Part = 0.05
    """The margin of the second and of the short windows."""
    counts: Counting = Counting.RESERVED


OF_THE_PROVIDER: Final = ("counts", "day_zone", "short_windows")
"""What holds for all deployments of a provider, unless their own row says otherwise."""


def limits_row(rows: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """What [limits] says under that name, with its provider's way of counting."""
    provider = rows.get(name.partition("/")[0], {})
    return {**{key: provider[key] for key in OF_THE_PROVIDER if key in provider}, **rows[name]}


def day_around(moment: datetime, zone: str) -> tuple[datetime, datetime]:
    """The midnights before and after that moment, in that zone."""
    local = moment.astimezone(ZoneInfo(zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    # A step of the wall clock, not of 24 hours: twice a year a day is longer or shorter.
    return midnight, midnight + timedelta(days=1)
