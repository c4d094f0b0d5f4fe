"""The provider's strict rate limits: a sliding-window log on arrival."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """What one account may do; 0 means no limit of that kind."""

    requests: int = 0
    tokens: int = 0
    concurrency: int = 0
    window: float = 60.0
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
    """Sums over (now - window, now], exact to the request; refused requests leave no trace."""

    limits: Limits
    requests: int = 0
    tokens: int = 0
    most_requests: int = 0
    most_tokens: int = 0
    _log: deque[tuple[float, int]] = field(default_factory=deque)

    def admit(self, now: float, tokens: int, in_flight: int) -> Refusal | None:
        """Let a request of so many tokens pass, or say why not."""
        self._forget(now)
        limits = self.limits
        checks = (
            ("requests", limits.requests, self.requests, 1),
            ("tokens", limits.tokens, self.tokens, tokens),
            ("concurrent requests", limits.concurrency, in_flight, 1),
        )
        for what, limit, used, requested in checks:
            if limit and used + requested > limit:
                wait = self._wait(now, what, used + requested - limit)
                return Refusal(what, limit, used, requested, wait)
        self._log.append((now, tokens))
        self.requests += 1
        self.tokens += tokens
        self.most_requests = max(self.most_requests, self.requests)
        self.most_tokens = max(self.most_tokens, self.tokens)
        return None

    def _forget(self, now: float) -> None:
        horizon = now - self.limits.window
        while self._log and self._log[0][0] <= horizon:
            _, tokens = self._log.popleft()
            self.requests -= 1
            self.tokens -= tokens

    def _wait(self, now: float, what: str, excess: int) -> float:
        """Seconds until `excess` of the sum has left the window."""
        if what == "concurrent requests":
            return 1.0
        freed = 0
        for at, tokens in self._log:
            freed += 1 if what == "requests" else tokens
            if freed >= excess:
                return max(at + self.limits.window - now, 0.0)
        return self.limits.window
