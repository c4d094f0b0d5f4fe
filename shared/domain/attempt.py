"""States of an attempt (one call of a provider) and the only moves between them."""

from enum import StrEnum
from typing import Final


class AttemptState(StrEnum):
    """Where one provider call stands; the drawing is docs/job-states.md."""

    PLANNED = "planned"
    """Released: rate and money are reserved, nothing has been sent."""
    SENT = "sent"
    """Claimed by a worker; the provider may have been called."""
    ANSWERED = "answered"
    REFUSED = "refused"
    """The provider said no to this request; not billed."""
    FAILED = "failed"
    """The provider or the way to it broke; not billed, or billed as reported."""
    UNKNOWN = "unknown"
    """Nobody can say how the call ended: charged at its hold and flagged."""
    RETURNED = "returned"
    """Never sent: the permit and the hold went back."""


class Further(StrEnum):
    """What a failed attempt that spends a try may be followed by: known at its release."""

    NOW = "now"
    """Another deployment may take the job at once."""
    LATER = "later"
    """All have been tried: the next round comes after a back-off."""
    NONE = "none"
    """Each deployment has had its tries."""


OPEN_ATTEMPTS: Final = frozenset({AttemptState.PLANNED, AttemptState.SENT})
REPORTED_ATTEMPTS: Final = frozenset(
    {AttemptState.ANSWERED, AttemptState.REFUSED, AttemptState.FAILED}
)
"""How a worker may report a call's end; `unknown` takes such a report late, once."""

ATTEMPT_MOVES: Final[dict[AttemptState, frozenset[AttemptState]]] = {
    AttemptState.PLANNED: frozenset({AttemptState.SENT, AttemptState.RETURNED}),
    AttemptState.SENT: REPORTED_ATTEMPTS | {AttemptState.UNKNOWN},
    AttemptState.UNKNOWN: REPORTED_ATTEMPTS,
    AttemptState.ANSWERED: frozenset(),
    AttemptState.REFUSED: frozenset(),
    AttemptState.FAILED: frozenset(),
    AttemptState.RETURNED: frozenset(),
}
