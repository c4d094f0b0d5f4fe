"""A provider's strict rate limits: a sliding-window log on arrival."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, NonNegativeInt

from simulator.strict import Strict

COMPACT_AFTER: Final = 4096
"""Forgotten entries that may lie about before the log is cut."""
CONCURRENCY_WAIT: Final = 1.0
"""Seconds to wait for a free place: nobody knows when a running call ends."""


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _listed(value: object) -> object:
    """On a command line several are written as `1+10`."""
    return value.split("+") if isinstance(value, str) else value


class Limits(Strict):
    """What one account may do; 0 means no limit of that kind."""

    rpm: NonNegativeInt = 0
    """Requests per window."""
    tpm: NonNegativeInt = 0
    """Tokens per window, as the provider counts them."""
    output_tpm: NonNegativeInt = 0
    """Output tokens per window, counted when they are written."""
    rps: NonNegativeInt = 0
    """Requests per second."""
    rpd: NonNegativeInt = 0
    """Requests per day."""
    concurrency: NonNegativeInt = 0
    window: Seconds = 60.0
    """Seconds over which requests and tokens are summed."""
    short_windows: Annotated[tuple[Seconds, ...], BeforeValidator(_listed)] = ()
    """Each of so many seconds may have no more than its part of `rpm`, and one request at least."""
    ramp: NonNegativeInt = 0
    """Tokens per window above which use may grow by a half in `ramp_seconds` and no faster."""
    ramp_seconds: Seconds = 900.0
    failed_count: bool = False
    """A request that is refused counts as one, too."""

    @property
    def pro_rata(self) -> dict[float, int]:
        """Requests that each of the shorter windows may have, by its seconds."""
        parts = {each: max(int(self.rpm * each / self.window), 1) for each in self.short_windows}
        return parts if self.rpm else {}


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
    """Sums over (now - window, now], exact to the request.

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
        self.note_failed(now, tokens)
        self.most_requests = max(self.most_requests, self.requests)
        self.most_tokens = max(self.most_tokens, self.tokens)

    def note_failed(self, now: float, tokens: int = 0) -> None:
        """Count a request that was not let in: the marks tell only of those that were."""
        self._times.append(now)
        self._sums.append(self._last_sum + tokens)

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

    def until_free(self, now: float, tokens: int) -> float:
        """Seconds until so many of the tokens in the window have left it."""
        return self._wait(now, bisect_left(self._sums, self._before + tokens, self._head))

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
            wait = self.until_free(now, excess)
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
