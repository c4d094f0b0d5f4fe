"""The endpoints of URLs that jobs named lately: none of them is looked up for every job."""

from time import monotonic
from typing import Final, NamedTuple

from shared.domain.event import EventType

BELIEVED_SECONDS: Final = 30.0
"""How long a found endpoint is believed: one that another process deleted is told no longer."""
MOST_KNOWN: Final = 10_000


class Target(NamedTuple):
    """What a job says of its webhook."""

    tenant_id: str
    url: str
    events: tuple[EventType, ...] | None
    """None: those that its endpoint names."""


class KnownTargets:
    """The endpoints of targets that were looked up lately."""

    def __init__(self) -> None:
        self._known: dict[Target, tuple[float, str]] = {}

    def get(self, target: Target) -> str | None:
        """The endpoint's id; None where it must be looked up."""
        read_at, endpoint_id = self._known.get(target, (float("-inf"), ""))
        return endpoint_id if monotonic() - read_at <= BELIEVED_SECONDS else None

    def put(self, target: Target, endpoint_id: str) -> None:
        """Believe it from now on."""
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[target] = (monotonic(), endpoint_id)

    def forget(self, endpoint_id: str) -> None:
        """It is gone."""
        for target in [each for each, (_, known) in self._known.items() if known == endpoint_id]:
            del self._known[target]
