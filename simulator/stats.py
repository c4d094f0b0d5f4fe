"""The provider's counters: what came and what became of it."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

SECONDS_KEPT: Final = 1000
ACCEPTED: Final = 1
REJECTED: Final = 2
COMBINE: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "accepted": sum,
    "rejected": sum,
    "answered": sum,
    "in_flight": sum,
    "max_in_flight": max,
    "billed_nano": sum,
    "billed_requests": sum,
    "first_at": min,
    "last_at": max,
    "max_requests_in_window": max,
    "max_tokens_in_window": max,
}
"""How the figures of several accounts become one."""


@dataclass(slots=True)
class Counters:
    """Sums since the start or the last `clear`."""

    accepted: int = 0
    rejected: int = 0
    answered: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    billed_nano: int = 0
    """Nano-USD."""
    billed_requests: int = 0
    first_at: float | None = None
    """Unix seconds of the first arrival."""
    last_at: float | None = None
    _per_second: deque[list[int]] = field(default_factory=lambda: deque(maxlen=SECONDS_KEPT))
    """[unix second, accepted, rejected]."""

    def accept(self) -> None:
        """A request passed the limits and is under way."""
        self.accepted += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self._note(ACCEPTED)

    def leave(self) -> None:
        """One that was under way is over."""
        self.in_flight -= 1

    def reject(self) -> None:
        """A request was refused by a limit."""
        self.rejected += 1
        self._note(REJECTED)

    def bill(self, cost_nano: int) -> None:
        """A call was billed."""
        self.billed_requests += 1
        self.billed_nano += cost_nano

    def clear(self) -> None:
        """Begin again; what is in flight stays so."""
        self.accepted = self.rejected = self.answered = 0
        self.billed_nano = self.billed_requests = 0
        self.max_in_flight = self.in_flight
        self.first_at = self.last_at = None
        self._per_second.clear()

    def snapshot(self) -> dict[str, Any]:
        """All of it, as `/_sim/stats` tells it."""
        public = [name for name in self.__slots__ if not name.startswith("_")]
        values = {name: getattr(self, name) for name in public}
        return {**values, "per_second": list(self._per_second)}

    def _note(self, column: int) -> None:
        now = time.time()
        self.first_at = self.first_at or now
        self.last_at = now
        if not self._per_second or self._per_second[-1][0] != int(now):
            self._per_second.append([int(now), 0, 0])
        self._per_second[-1][column] += 1


def together(snapshots: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The snapshots of several accounts as one: sums, and of marks the highest."""
    whole: dict[str, Any] = {}
    accepted, rejected = Counter[int](), Counter[int]()
    for snapshot in snapshots:
        for name, combine in COMBINE.items():
            present = [each for each in (whole.get(name), snapshot[name]) if each is not None]
            whole[name] = combine(present) if present else None
        for second, passed, refused in snapshot["per_second"]:
            accepted[second] += passed
            rejected[second] += refused
    seconds = sorted(accepted)[-SECONDS_KEPT:]
    whole["per_second"] = [[second, accepted[second], rejected[second]] for second in seconds]
    return whole
