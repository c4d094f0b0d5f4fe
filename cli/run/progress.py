"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

import sys
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from shared.domain.money import show_usd

LINE_SECONDS: Final = 2.0
RATE_SECONDS: Final = 20.0
FINALS: Final = ("succeeded", "failed", "cancelled", "expired")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands."""

    total: int
    counts: Mapping[str, int]
    cost_nano: int

    @property
    def done(self) -> int:
        """Answered jobs."""
        return self.counts["succeeded"]

    @property
    def failed(self) -> int:
        """Jobs that ended without an answer."""
        return sum(self.counts[state] for state in FINALS) - self.done

    @property
    def ended(self) -> int:
        """Jobs that need nothing more."""
        return self.done + self.failed

    @property
    def waiting(self) -> int:
        """Jobs that are queued, scheduled, or not yet submitted."""
        return self.total - self.ended - self.counts["running"]


class Meterstick(AbstractContextManager["Meterstick"]):
    """Shows each standing with the rate of the last seconds and the time that is left."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        console = Console(file=sys.stderr, highlight=False)
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal and not quiet:
            self._bar = Progress(
                BarColumn(bar_width=30), TextColumn("{task.description}"), console=console
            )
            self._task = self._bar.add_task("starting", total=total)
        self._seen: deque[tuple[float, int]] = deque()
        self._told_at = float("-inf")

    def show(self, standing: Standing) -> None:
        """Show it, if it is time."""
        now = monotonic()
        self._seen.append((now, standing.ended))
        while now - self._seen[0][0] > RATE_SECONDS:
            self._seen.popleft()
        text = self.describe(standing)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=standing.ended, total=standing.total, description=text
            )
        elif not self._quiet and (
            now - self._told_at >= LINE_SECONDS or standing.ended == standing.total
        ):
            self._told_at = now
            sys.stderr.write(f"  {text}\n")
            sys.stderr.flush()

    def describe(self, standing: Standing) -> str:
        """One line: done, failed, running, waiting, cost, rate, time left."""
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        rate = (last - first) / (last_at - first_at) if last_at > first_at else 0.0
        left = standing.total - standing.ended
        eta = f", {_duration(left / rate)} left" if rate and left else ""
        return (
            f"{standing.done}/{standing.total} done, {standing.failed} failed, "
            f"{standing.counts['running']} running, {standing.waiting} waiting, "
            f"{show_usd(standing.cost_nano)}, {rate:.0f}/s{eta}"
        )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
