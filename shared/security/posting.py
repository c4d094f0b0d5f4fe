"""Sign a message and post it once: what every webhook does, and every test of one."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Final

from pydantic import SecretStr

from shared.domain.clock import SystemClock
from shared.security.egress import Answered, Egress, EgressError, UnreachableError
from shared.security.webhooks import signed_headers

SECONDS: Final = 15.0
"""That a receiver has for all of its answer."""
LONGEST_PAUSE: Final = 24 * 3600.0
"""That it is granted, in seconds, however much it asks for."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted; its id stays the same over all tries and all receivers."""

    id: str
    body: bytes
    """JSON."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of one try."""

    status: int | None
    """None: nothing answered."""
    error: str | None
    """What was wrong, without a full stop; None: it was delivered."""
    milliseconds: int
    retry_after: float | None = None
    """Seconds that the receiver asked to be left alone."""


async def post_signed(
    egress: Egress,
    url: str,
    secrets: Iterable[SecretStr],
    message: Message,
    *,
    seconds: float = SECONDS,
) -> Posted:
    """One try; a status of 2xx alone is a success. Raises ValueError for what is no secret."""
    now = SystemClock().now()
    headers = signed_headers(secrets, message.id, int(now.timestamp()), message.body)
    began = monotonic()
    try:
        answered = await egress.post(url, message.body, headers, seconds=seconds)
    except (EgressError, UnreachableError) as error:
        return Posted(None, str(error), _milliseconds_since(began))
    return Posted(
        answered.status, _wrong_with(answered), _milliseconds_since(began), _pause(answered, now)
    )


def _wrong_with(answered: Answered) -> str | None:
    return None if 200 <= answered.status < 300 else f"it answered with status {answered.status}"


def _pause(answered: Answered, now: datetime) -> float | None:
    """What Retry-After says, as seconds or as a date; None for anything else."""
    said = (answered.retry_after or "").strip()
    if said.isascii() and said.isdecimal():
        return min(float(said), LONGEST_PAUSE)
    with suppress(ValueError, TypeError, OverflowError):
        seconds = (parsedate_to_datetime(said) - now).total_seconds()
        return min(max(seconds, 0.0), LONGEST_PAUSE)
    return None


def _milliseconds_since(began: float) -> int:
    return round((monotonic() - began) * 1000)
