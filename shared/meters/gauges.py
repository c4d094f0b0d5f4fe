"""The gauges that a deployment's limits ask for, as the scripts take them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from shared.catalog.limits import Counting, Limits

MICROS: Final = 1_000_000
DAY_SLACK: Final = 5.0
"""Seconds about midnight in which our clock and the provider's may not agree about the date."""
FOREVER: Final = 10**15
BY_DAY: Final = "requests_per_day"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One limit that is counted; spans in microseconds."""

    name: str
    kind: str
    """`spread`: a window whose permits come evenly; `written`: the same of what counts when
    it is written; `log`: a window alone; `day`: a calendar day."""
    limit: int
    span: int
    """The window; of a day its end, as Unix time."""
    counted: int
    """How long a permit counts: the window and the margin; of a day the slack of the clocks."""
    burst: int = 0
    """Thousandths of the limit that may go at once after a rest."""

    @property
    def args(self) -> tuple[str | int, ...]:
        """As gauges.lua reads it."""
        return self.name, self.kind, self.limit, self.span, self.counted, self.burst


@lru_cache(maxsize=1024)
def forgiven(limits: Limits) -> int:
    """How late a call may be sent after its grant, microseconds: most of the margins' jitter.

    The rest is for its way to the provider.
    """
    windows = (gauge for gauge in gauges_of(limits, 0) if gauge.kind != "day")
    return min((gauge.counted - gauge.span for gauge in windows), default=FOREVER) * 4 // 5


@lru_cache(maxsize=1024)
def gauges_of(limits: Limits, midnight: int) -> tuple[Gauge, ...]:
    """Those of these limits; `midnight`: when the day ends, microseconds of Unix time."""
    return tuple(gauge for gauge in _all(limits, midnight) if gauge.limit)


def _all(limits: Limits, midnight: int) -> Iterator[Gauge]:
    def window(name: str, kind: str = "spread") -> Gauge:
        gauge = _sliding(name, kind, getattr(limits, name), limits.window, limits.margin)
        return replace(gauge, burst=round(limits.burst * 1000))

    yield window("requests")
    yield window("tokens")
    yield window("input_tokens")
    yield window("output_tokens", "written" if limits.counts is Counting.METERED else "spread")
    each_second = limits.requests_per_second
    yield _sliding("requests_per_second", "spread", each_second, 1.0, limits.short_margin)
    for seconds in limits.short_windows if limits.requests else ():
        pro_rata = max(int(limits.requests * seconds / limits.window), 1)
        name = f"requests_in_{seconds:g}_seconds"
        yield _sliding(name, "log", pro_rata, seconds, limits.short_margin)
    yield Gauge(BY_DAY, "day", limits.requests_per_day, midnight, round(DAY_SLACK * MICROS))


def _sliding(name: str, kind: str, limit: int, seconds: float, margin: float) -> Gauge:
    # So much may requests be late on their way without two windows coming together.
    counted = seconds / (1 - margin)
    return Gauge(name, kind, limit, round(seconds * MICROS), round(counted * MICROS))
