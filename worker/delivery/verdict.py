"""What becomes of a delivery after a try: delivered, tried again and when, or given up."""

import random
from typing import Final

from shared.db.deliveries import Due, Tried
from shared.domain.event import DeliveryState
from shared.security.posting import Posted

WAITS: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds from each try to the next: ten tries in 75 hours and a half."""
JITTER: Final = 0.1
"""Of a wait, up or down: the messages of an outage shall not all come again at once."""
GONE: Final = 410
BUSY: Final = frozenset({429, 502, 504})
"""Whoever answers so is left alone with everything, not with this message only."""
LONGEST_REST: Final = 60.0
"""Seconds for which it is, where it does not say itself."""


def tried(due: Due, posted: Posted) -> Tried:
    """How the try counts for its delivery and for its endpoint."""
    again_in = wait_after(due.number)
    rest = _rest(posted, again_in or LONGEST_REST)
    return Tried(
        id=due.id,
        number=due.number,
        endpoint_id=due.endpoint_id,
        state=_state(posted, again_in),
        again_in=max(again_in or 0.0, rest or 0.0),
        status=posted.status,
        error=posted.error,
        milliseconds=posted.milliseconds,
        pause=rest,
        disable=f"it answered {GONE} Gone" if posted.status == GONE else None,
    )


def wait_after(number: int) -> float | None:
    """Seconds from the try of that number to the next; None after the last."""
    if number > len(WAITS):
        return None
    return WAITS[number - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def _state(posted: Posted, again_in: float | None) -> DeliveryState:
    if posted.error is None:
        return DeliveryState.DELIVERED
    return DeliveryState.GIVEN_UP if again_in is None else DeliveryState.PENDING


def _rest(posted: Posted, again_in: float) -> float | None:
    """Seconds that the endpoint is left alone; None: not at all."""
    if posted.error is None:
        return None
    if posted.retry_after is None and posted.status in BUSY:
        return min(again_in, LONGEST_REST)
    return posted.retry_after
