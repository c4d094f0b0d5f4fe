"""A budget of retries: a provider in trouble gets a tenth more calls, not a multiple."""

from collections.abc import Callable
from time import monotonic
from typing import Final

SHARE: Final = 0.1
"""A retry for every ten first tries."""
PER_SECOND: Final = 0.5
"""Beside that: what waits only for retries goes on, too."""
MOST: Final = 20.0
"""What an idle deployment has saved up."""


class RetryBudgets:
    """Of each deployment; a memory of one process, as whoever dispatches a route needs it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}
        """Deployment to its level and when that was; full where absent."""

    def allows(self, deployment: str) -> bool:
        """A retry may go there now."""
        return self._level(deployment) >= 1.0

    def wait(self, deployment: str) -> float:
        """Seconds until a retry may go there, if nothing else does meanwhile."""
        return max(1.0 - self._level(deployment), 0.0) / PER_SECOND

    def charge(self, deployment: str, *, first: int, again: int) -> None:
        """So many first tries and retries went there."""
        level = self._level(deployment) + first * SHARE - again
        self._levels[deployment] = (min(level, MOST), self._clock())

    def _level(self, deployment: str) -> float:
        level, at = self._levels.get(deployment, (MOST, 0.0))
        return min(level + (self._clock() - at) * PER_SECOND, MOST)
