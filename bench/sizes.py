"""How much is measured: all of it, or enough for a look."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Numbers of jobs, rows, rounds and seconds."""

    jobs: int
    rounds: int
    threads_jobs: int
    prefork_jobs: int
    backlogs: tuple[int, ...]
    sample: int
    """Jobs in each of the windows that a backlog is measured by."""
    windows: int
    accept_lines: int
    accept_rounds: int
    people: int
    """Jobs of the latency part."""
    idle_seconds: float
    streams: int
    """Answers that are told at one time."""
    stream_seconds: float
    gateway_seconds: float
    quota_windows: int
    """Of 60 s each, the first of which is not counted; 0: not measured."""
    rescues: int
    """Rounds of half a minute; 0: not measured."""
    shared_tokens: int
    """Of each tenant; 0: not measured."""
    usage_calls: int
    """Summed up already when usage is read."""
    usage_rolled: int
    """To be summed up."""


FULL: Final = Size(
    jobs=10_000,
    rounds=3,
    threads_jobs=4000,
    prefork_jobs=1000,
    backlogs=(1000, 10_000, 100_000, 1_000_000),
    sample=2000,
    windows=3,
    accept_lines=100_000,
    accept_rounds=2,
    people=200,
    idle_seconds=20.0,
    streams=1000,
    stream_seconds=15.0,
    gateway_seconds=20.0,
    quota_windows=3,
    rescues=5,
    shared_tokens=90_000,
    usage_calls=5_000_000,
    usage_rolled=40_000,
)
QUICK: Final = Size(
    jobs=2000,
    rounds=1,
    threads_jobs=800,
    prefork_jobs=96,
    backlogs=(1000, 20_000),
    sample=800,
    windows=1,
    accept_lines=5000,
    accept_rounds=1,
    people=16,
    idle_seconds=2.0,
    streams=200,
    stream_seconds=3.0,
    gateway_seconds=2.0,
    quota_windows=0,
    rescues=0,
    shared_tokens=0,
    usage_calls=100_000,
    usage_rolled=4000,
)
