"""The provider's strict rate limits: a sliding-window log on arrival."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

from pydantic import Field, NonNegativeInt

from simulator.strict import Strict

COMPACT_AFTER: Final = 4096
"""Forgotten entries that may lie about before the log is cut."""
DAY: Final = 86_400.0
"""Seconds."""
CONCURRENCY_WAIT: Final = 1.0
"""Seconds to wait for a free place: nobody knows when a running call ends."""


class Limits(Strict):
    """What one account may do; 0 means no limit of that kind."""

    rpm: NonNegativeInt = 0
    """Requests per window."""
    tpm: NonNegativeInt = 0
    """Tokens per window, as the provider counts them."""
    output_tpm: NonNegativeInt = 0
    """Output tokens per window, counted when they are written."""
    rpd: NonNegativeInt = 0
    """Requests per day."""
    concurrency: NonNegativeInt = 0
    window: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """Seconds over which requests and tokens are summed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request may not pass now."""

    what: str
    limit: int
    used: int
    requested: int
    retry_after: float
    """Seconds until enough of the window has gone by."""


@dataclass(slots=True)
class SlidingWindow:
    """Sums over (now - window, now], exact to the request; refused requests leave no trace.

    The log is two parallel lists, arrival times and running token sums, so that both the sum of a
    window and the wait for a part of it are binary searches.
    """

    limits: Limits
    most_requests: int = 0
    most_tokens: int = 0
    _times: list[float] = field(default_factory=list)
    _sums: list[int] = field(default_factory=list)
    _head: int = 0
    """Index of the oldest entry inside the window."""
    _before: int = 0
    """The running token sum just before it."""

    @property
    def requests(self) -> int:
        """Requests in the window, as of the last `forget`."""
        return len(self._times) - self._head

    @property
    def tokens(self) -> int:
        """Tokens in the window, as of the last `forget`."""
        return self._last_sum - self._before

    @property
    def _last_sum(self) -> int:
        return self._sums[-1] if self._sums else self._before

    def admit(self, now: float, tokens: int, in_flight: int) -> Refusal | None:
        """Let a request of so many tokens pass, or tell the limit that it must wait longest for.

        `now` is in seconds of a clock that never goes back.
        """
        refusal = self.refusal(now, tokens, in_flight)
        if refusal is None:
            self.note(now, tokens)
        return refusal

    def refusal(self, now: float, tokens: int, in_flight: int) -> Refusal | None:
        """The limit that such a request must wait longest for, if any."""
        self.forget(now)
        refusals = self._refusals(now, tokens, in_flight)
        return max(refusals, key=lambda refusal: refusal.retry_after, default=None)

    def note(self, now: float, tokens: int) -> None:
        """Count a request, as of the last `forget`."""
        self._times.append(now)
        self._sums.append(self._last_sum + tokens)
        self.most_requests = max(self.most_requests, self.requests)
        self.most_tokens = max(self.most_tokens, self.tokens)

    def forget(self, now: float) -> None:
        """Drop what has left the window."""
        self._head = bisect_right(self._times, now - self.limits.window, self._head)
        if self._head:
            self._before = self._sums[self._head - 1]
        if self._head > COMPACT_AFTER and self._head * 2 > len(self._times):
            del self._times[: self._head], self._sums[: self._head]
            self._head = 0

    def until_empty(self, now: float) -> float:
        """Seconds until the newest entry leaves the window."""
        return max(self._times[-1] + self.limits.window - now, 0.0) if self.requests else 0.0

    def clear(self) -> None:
        """Forget all, marks too."""
        self._times.clear()
        self._sums.clear()
        self._head = self._before = self.most_requests = self.most_tokens = 0

    def _refusals(self, now: float, tokens: int, in_flight: int) -> list[Refusal]:
        limits = self.limits
        refusals = []
        if limits.rpm and (excess := self.requests + 1 - limits.rpm) > 0:
            wait = self._wait(now, self._head + excess - 1)
            refusals.append(Refusal("requests", limits.rpm, self.requests, 1, wait))
        if limits.tpm and (excess := self.tokens + tokens - limits.tpm) > 0:
            wait = self._wait(now, bisect_left(self._sums, self._before + excess, self._head))
            refusals.append(Refusal("tokens", limits.tpm, self.tokens, tokens, wait))
        if limits.concurrency and in_flight >= limits.concurrency:
            refusals.append(
                Refusal("concurrency", limits.concurrency, in_flight, 1, CONCURRENCY_WAIT)
            )
        return refusals

    def _wait(self, now: float, last: int) -> float:
        """Seconds until the entry `last` has left; a whole window if no entry's leaving helps."""
        if last >= len(self._times):
            return self.limits.window
        return max(self._times[last] + self.limits.window - now, 0.0)


@dataclass(slots=True)
class Gate:
    """All limits of one account: on arrival, on what was written, on the day."""

    limits: Limits = field(default_factory=Limits)
    arrivals: SlidingWindow = field(init=False)
    output: SlidingWindow = field(init=False)
    day: SlidingWindow = field(init=False)

    def __post_init__(self) -> None:
        """Begin with empty windows."""
        self.arrivals, self.output, self.day = (SlidingWindow(self.limits) for _ in range(3))
        self.set(self.limits)

    def set(self, limits: Limits) -> None:
        """Change the limits; what was admitted still counts."""
        self.limits = self.arrivals.limits = limits
        self.output.limits = Limits(tpm=limits.output_tpm, window=limits.window)
        self.day.limits = Limits(rpm=limits.rpd, window=DAY)

    def admit(self, now: float, tokens: int, in_flight: int) -> Refusal | None:
        """Let a request of so many tokens pass, or tell why not."""
        limits = self.limits
        if limits.output_tpm and (refusal := self.output.refusal(now, 1, 0)):
            return replace(refusal, what="output_tokens")
        if limits.rpd and (refusal := self.day.refusal(now, 0, 0)):
            return replace(refusal, what="requests_per_day")
        refusal = self.arrivals.admit(now, tokens, in_flight)
        if refusal is None and limits.rpd:
            self.day.note(now, 0)
        return refusal

    def wrote(self, now: float, tokens: int) -> None:
        """Count what was written."""
        if self.limits.output_tpm:
            self.output.forget(now)
            self.output.note(now, tokens)

    def clear(self) -> None:
        """Forget all, marks too."""
        for window in (self.arrivals, self.output, self.day):
            window.clear()
