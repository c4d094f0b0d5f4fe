"""What every provider's error reply says alike: its status and the wait that it asks for."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

from shared.domain.failure import FailureKind

MAX_RETRY_AFTER: Final = 24 * 3600.0
KIND_OF_STATUS: Final = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.AUTH,
    402: FailureKind.QUOTA,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    413: FailureKind.TOO_LARGE,
    422: FailureKind.BAD_REQUEST,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
    # Anthropic's own word, which proxies before other servers took over.
    529: FailureKind.OVERLOADED,
}


def kind_of_status(status: int) -> FailureKind:
    """The failure kind where neither type nor code nor prose says more."""
    if 300 <= status < 400:
        # No redirect is followed: the address in the catalog leads elsewhere.
        return FailureKind.NOT_FOUND
    other = FailureKind.SERVER if status >= 500 else FailureKind.BAD_REQUEST
    return KIND_OF_STATUS.get(status, other)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the reply asks to wait: as milliseconds, seconds or a date; None if silent."""
    forms: tuple[Callable[[], float], ...] = (
        lambda: float(headers["retry-after-ms"]) / 1000,
        lambda: float(headers["retry-after"]),
        lambda: _until(headers["retry-after"], now),
    )
    for form in forms:
        with suppress(KeyError, ValueError, OverflowError):
            seconds = form()
            if isfinite(seconds):
                return min(max(seconds, 0.0), MAX_RETRY_AFTER)
    return None


def wait_of(kind: FailureKind, asked: float | None) -> float | None:
    """The wait of a failure: what is spent does not come back in the seconds that are asked for."""
    return None if kind is FailureKind.QUOTA else asked


def _until(date: str, now: datetime) -> float:
    at = parsedate_to_datetime(date)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
