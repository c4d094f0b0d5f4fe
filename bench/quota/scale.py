"""How long the quota benchmark takes: all of it, or a look of a minute."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Numbers of windows, prompts and seconds."""

    window: float
    """Seconds of the matrix' windows. The margin forgives 0.1 s of this machine's jitter: of 3 s
    that is 3.5 %, of 12 s less than one."""
    pace: float
    """Times 20 jobs a second of each account. Five accounts at full pace keep two cores so busy
    that the machine's jitter, not the meter, is measured."""
    windows: int
    """Counted ones of the matrix, after the first."""
    groups: int
    """Of the matrix' rules: how many are run; the last comes first."""
    minutes: int
    """Counted windows of 60 s; 0: none are run."""
    prompts: int
    """Of the race."""
    race_requests: int
    """Per window of the race."""
    race_window: float
    """Seconds."""
    race_bound: float
    """The mill's time at most, times what the quota's steady rate takes; a margin, a start and
    the looks for the end are in it."""
    backlog: int
    """Jobs of the tenant that has most."""
    shares_seconds: float
    outage_seconds: float
    troubles: int
    """How many kinds of outage."""


FULL: Final = Scale(
    window=12.0,
    pace=0.5,
    windows=20,
    groups=4,
    minutes=3,
    prompts=10_000,
    race_requests=2000,
    race_window=60.0,
    race_bound=1.05,
    backlog=100_000,
    shares_seconds=60.0,
    outage_seconds=20.0,
    troubles=5,
)
QUICK: Final = Scale(
    window=3.0,
    pace=1.0,
    windows=3,
    groups=1,
    minutes=0,
    prompts=120,
    race_requests=100,
    race_window=2.0,
    race_bound=1.3,
    backlog=5000,
    shares_seconds=9.0,
    outage_seconds=3.0,
    troubles=1,
)
