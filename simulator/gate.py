"""All limits of one account together: on arrival, on what was written, on the day, on growth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from simulator.limits import Limits, Refusal, SlidingWindow

DAY: Final = 86_400.0
"""Seconds."""
PACIFIC: Final = "America/Los_Angeles"
GROWTH: Final = 1.5
"""What use may grow to in one stretch of `ramp_seconds`."""


def now_utc() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(slots=True)
class PacificDay:
    """Requests since midnight in California, where Google's day begins."""

    clock: Callable[[], datetime] = now_utc
    limit: int = 0
    _date: date | None = None
    _requests: int = 0

    def refusal(self) -> Refusal | None:
        """Until the next midnight nothing passes once the day is used up."""
        if not self.limit:
            return None
        now = self._turned()
        if self._requests < self.limit:
            return None
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
        # In UTC: between wall clocks of one zone Python counts no change to summer time.
        wait = (midnight.astimezone(UTC) - now.astimezone(UTC)).total_seconds()
        return Refusal("requests_per_day", self.limit, self._requests, 1, wait)

    def note(self) -> None:
        """Count a request, where the day has a limit."""
        if self.limit:
            self._turned()
            self._requests += 1

    def clear(self) -> None:
        """Forget all."""
        self._requests = 0

    def _turned(self) -> datetime:
        now = self.clock().astimezone(ZoneInfo(PACIFIC))
        if now.date() != self._date:
            self._date, self._requests = now.date(), 0
        return now


@dataclass(slots=True)
class Ramp:
    """How far use may grow: a ceiling for each stretch of time, from the use of the one before."""

    limits: Limits
    _ceiling: int = 0
    _most: int = 0
    """Tokens of the fullest window of this stretch."""
    _until: float = 0.0

    def refusal(self, now: float, window: SlidingWindow, tokens: int) -> Refusal | None:
        """Whether so many tokens more would be too steep; of the window as of its last `forget`."""
        if not self.limits.ramp:
            return None
        self._turn(now)
        excess = window.tokens + tokens - self._ceiling
        if excess <= 0:
            return None
        return Refusal("ramp", self._ceiling, window.tokens, tokens, window.until_free(now, excess))

    def note(self, tokens: int) -> None:
        """So many tokens are in the window now."""
        self._most = max(self._most, tokens)

    def clear(self) -> None:
        """Forget all."""
        self._most, self._until = 0, 0.0

    def _turn(self, now: float) -> None:
        stretch = self.limits.ramp_seconds
        if now < self._until:
            return
        grown = int(self._most * GROWTH) if now < self._until + stretch else 0
        self._ceiling, self._most = max(self.limits.ramp, grown), 0
        self._until = now + stretch


@dataclass(slots=True)
class Gate:
    """What decides whether a request may pass."""

    limits: Limits = field(default_factory=Limits)
    pacific: PacificDay | None = None
    """Where the account's day begins at midnight; else it is the last 24 hours."""
    arrivals: SlidingWindow = field(init=False)
    output: SlidingWindow = field(init=False)
    _day: SlidingWindow = field(init=False)
    _ramp: Ramp = field(init=False)
    _short: dict[tuple[str, float], SlidingWindow] = field(default_factory=dict)
    """By what it is called and its seconds."""
    _beside: tuple[tuple[str, SlidingWindow], ...] = ()
    """What is limited beside the arrivals."""

    def __post_init__(self) -> None:
        """Begin with empty windows."""
        self.arrivals, self.output, self._day = (SlidingWindow(self.limits) for _ in range(3))
        self._ramp = Ramp(self.limits)
        self.set(self.limits)

    def set(self, limits: Limits) -> None:
        """Change the limits; what was admitted still counts."""
        self.limits = self.arrivals.limits = self._ramp.limits = limits
        self.output.limits = Limits(tpm=limits.output_tpm, window=limits.window)
        self._day.limits = Limits(rpm=limits.rpd, window=DAY)
        if self.pacific:
            self.pacific.limit = limits.rpd
        wanted = {("requests", seconds): most for seconds, most in limits.pro_rata.items()}
        if limits.rps:
            wanted["requests_per_second", 1.0] = limits.rps
        known, self._short = self._short, {}
        for key, most in wanted.items():
            window = self._short[key] = known.get(key) or SlidingWindow(limits)
            window.limits = Limits(rpm=most, window=key[1])
        self._beside = tuple(self._limited())

    def admit(self, now: float, tokens: int, in_flight: int) -> Refusal | None:
        """Let a request of so many tokens pass, or tell the limit that it must wait longest for.

        `now` is in seconds of a clock that never goes back.
        """
        if self._longest(now, tokens, in_flight) is None:
            self._note(now, tokens)
            return None
        if self.limits.failed_count:
            self.fail(now)
        return self._longest(now, tokens, in_flight)

    def fail(self, now: float) -> None:
        """A request came to nothing: where failed ones count, it is counted, without tokens."""
        if self.limits.failed_count:
            for window in self._of_requests():
                window.forget(now)
                window.note_failed(now)
            if self.pacific:
                self.pacific.note()

    def wrote(self, now: float, tokens: int) -> None:
        """Count what was written."""
        if self.limits.output_tpm:
            self.output.forget(now)
            self.output.note(now, tokens)

    def clear(self) -> None:
        """Forget all, marks too."""
        for window in (self.arrivals, self.output, self._day, *self._short.values()):
            window.clear()
        self._ramp.clear()
        if self.pacific:
            self.pacific.clear()

    def _limited(self) -> Iterator[tuple[str, SlidingWindow]]:
        if self.limits.output_tpm:
            yield "output_tokens", self.output
        if self.limits.rpd and not self.pacific:
            yield "requests_per_day", self._day
        for (what, _), window in self._short.items():
            yield what, window

    def _of_requests(self) -> list[SlidingWindow]:
        return [self.arrivals, *(each for _, each in self._beside if each is not self.output)]

    def _longest(self, now: float, tokens: int, in_flight: int) -> Refusal | None:
        refusals = list(self._refusals(now, tokens, in_flight))
        return max(refusals, key=lambda refusal: refusal.retry_after, default=None)

    def _refusals(self, now: float, tokens: int, in_flight: int) -> Iterator[Refusal]:
        if refusal := self.arrivals.refusal(now, tokens, in_flight):
            yield refusal
        if refusal := self._ramp.refusal(now, self.arrivals, tokens):
            yield refusal
        if self.pacific and (refusal := self.pacific.refusal()):
            yield refusal
        for what, window in self._beside:
            # One token at least: of output nobody knows more yet.
            if refusal := window.refusal(now, 1, 0):
                yield replace(refusal, what=what)

    def _note(self, now: float, tokens: int) -> None:
        for window in self._of_requests():
            window.note(now, tokens)
        self._ramp.note(self.arrivals.tokens)
        if self.pacific:
            self.pacific.note()
