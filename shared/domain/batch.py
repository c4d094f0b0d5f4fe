"""States of a batch, and how long one may take."""

import re
from enum import StrEnum
from typing import Final

from shared.domain.errors import InvalidRequestError


class BatchState(StrEnum):
    """Where a batch stands, in OpenAI's words."""

    VALIDATING = "validating"
    """Its lines are read; none is a job yet."""
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    """Its jobs have ended; its answers are written to files."""
    CANCELLING = "cancelling"
    """What waits of it is cancelled, what runs is asked to stop."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Nothing of it was done: its errors say why."""
    EXPIRED = "expired"
    CANCELLED = "cancelled"


OPEN_BATCHES: Final = (
    BatchState.VALIDATING,
    BatchState.IN_PROGRESS,
    BatchState.FINALIZING,
    BatchState.CANCELLING,
)
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_WINDOW: Final = 7 * SECONDS["d"]
WINDOW: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")


def window_seconds(window: str, *, field: str) -> int:
    """The length of a completion window such as `24h`. Raises InvalidRequestError."""
    found = WINDOW.fullmatch(window)
    seconds = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_WINDOW:
        message = (
            f"{field}: {window!r} is no window; say 24h, or another number of s, m, h or d up to 7d"
        )
        raise InvalidRequestError(message, field=field)
    return seconds
