"""What Gemini's error replies mean, and how long they ask to wait."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.domain.failure import FailureKind
from worker.adapters.base import CallError
from worker.adapters.refusals import MAX_RETRY_AFTER, kind_of_status, retry_after

# Asked in this order: the reason, the quota, the prose, Google's status; HTTP's status last.
KIND_OF_REASON: Final = {
    "API_KEY_INVALID": FailureKind.AUTH,
    "API_KEY_EXPIRED": FailureKind.AUTH,
    "API_KEY_SERVICE_BLOCKED": FailureKind.AUTH,
    "SERVICE_DISABLED": FailureKind.AUTH,
    "CONSUMER_SUSPENDED": FailureKind.AUTH,
    "BILLING_DISABLED": FailureKind.QUOTA,
}
KIND_OF_PROSE: Final = (
    (re.compile(r"API key (not valid|not found|expired)", re.IGNORECASE), FailureKind.AUTH),
    # The account's country or its missing billing, never the request.
    (re.compile(r"location is not supported|enable billing", re.IGNORECASE), FailureKind.AUTH),
    (
        re.compile(r"exceeds the maximum number of tokens", re.IGNORECASE),
        FailureKind.CONTEXT_LENGTH,
    ),
    (re.compile(r"(input|prompt) token count", re.IGNORECASE), FailureKind.CONTEXT_LENGTH),
    (re.compile(r"payload size exceeds", re.IGNORECASE), FailureKind.TOO_LARGE),
    (re.compile(r"permission to access the file", re.IGNORECASE), FailureKind.BAD_REQUEST),
)
KIND_OF_GOOGLES_STATUS: Final = {
    "UNAUTHENTICATED": FailureKind.AUTH,
    "PERMISSION_DENIED": FailureKind.AUTH,
    "NOT_FOUND": FailureKind.NOT_FOUND,
    "UNAVAILABLE": FailureKind.OVERLOADED,
    "ABORTED": FailureKind.SERVER,
    "CANCELLED": FailureKind.SERVER,
}
NOTHING_GRANTED: Final = re.compile(r"\blimit: 0\b(?![.\d])")
UNTIL_GRANTED: Final = 3600.0
"""Seconds; a person may change the account's tier meanwhile."""
SPENT: Final = re.compile(r"spend(ing)? (cap|limit)|prepa\w+ credits", re.IGNORECASE)
ASKS_FOR_A_PLAN: Final = re.compile(r"check your plan and billing", re.IGNORECASE)


def refusal(
    body: Any, now: datetime, status: int | None = None, headers: Mapping[str, str] | None = None
) -> CallError:
    """The error that a reply or a streamed event holds; without a status, it names its own."""
    error, headers = _error_in(body), headers or {}
    code = status or _status_in(error)
    wait = wait_of(error, now)
    return CallError(
        classify(code, error),
        f"{code}: {error.get('message') or error.get('status') or 'no reason given'}"[:500],
        retry_after=retry_after(headers, now) if wait is None else wait,
        provider_request_id=headers.get("x-request-id"),
    )


def classify(status: int, error: Mapping[str, Any]) -> FailureKind:
    """The failure kind of an error reply; a redirect means that nobody lives at the address."""
    for detail in _details(error, "ErrorInfo"):
        if kind := KIND_OF_REASON.get(str(detail.get("reason"))):
            return kind
    googles = str(error.get("status"))
    if status == 429 or googles == "RESOURCE_EXHAUSTED":
        return FailureKind.QUOTA if _is_used_up(error) else FailureKind.RATE_LIMITED
    message = str(error.get("message", ""))
    for prose, kind in KIND_OF_PROSE:
        if prose.search(message):
            return kind
    return KIND_OF_GOOGLES_STATUS.get(googles) or kind_of_status(status)


def wait_of(error: Mapping[str, Any], now: datetime) -> float | None:
    """Seconds to wait: until a day's quota is new, or as the reply asks; None if it is silent.

    A model of which nothing is granted rests alone, long: the provider's others are granted.
    """
    if _is_not_granted(error):
        return UNTIL_GRANTED
    if _is_of_the_day(error):
        return _seconds_to_pacific_midnight(now)
    for detail in _details(error, "RetryInfo"):
        with suppress(ValueError):
            delay = float(str(detail.get("retryDelay")).removesuffix("s"))
            return min(max(delay, 0.0), MAX_RETRY_AFTER)
    return None


def _error_in(body: Any) -> Mapping[str, Any]:
    """The error out of the list and the envelope that it may come in."""
    inner = body[0] if isinstance(body, list) and body else body
    error = inner.get("error", inner) if isinstance(inner, Mapping) else inner
    return error if isinstance(error, Mapping) else {"message": str(error or "")}


def _status_in(error: Mapping[str, Any]) -> int:
    code = error.get("code")
    return code if isinstance(code, int) and code >= 400 else 500


def _is_used_up(error: Mapping[str, Any]) -> bool:
    """Waiting for the next minute would not help."""
    message = str(error.get("message", ""))
    violations = _violations(error)
    return (
        _is_of_the_day(error)
        or _is_not_granted(error)
        or bool(SPENT.search(message))
        or bool(
            ASKS_FOR_A_PLAN.search(message)
            and not violations
            and not any(_details(error, "RetryInfo"))
        )
    )


def _is_not_granted(error: Mapping[str, Any]) -> bool:
    """There is no quota of this model at the account's tier: other models have theirs."""
    return bool(NOTHING_GRANTED.search(str(error.get("message", "")))) or any(
        each.get("quotaValue") in ("0", 0) for each in _violations(error)
    )


def _is_of_the_day(error: Mapping[str, Any]) -> bool:
    return any("PerDay" in str(each.get("quotaId")) for each in _violations(error))


def _violations(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        each
        for detail in _details(error, "QuotaFailure")
        for each in detail.get("violations") or ()
        if isinstance(each, Mapping)
    ]


def _details(error: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and str(detail.get("@type")).endswith(f".{kind}"):
            yield detail


def _seconds_to_pacific_midnight(now: datetime) -> float:
    zone = _pacific()
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time(), zone)
    return min((midnight.astimezone(UTC) - now).total_seconds(), MAX_RETRY_AFTER)


def _pacific() -> tzinfo:
    """Where Google's day begins; at most an hour late on a system without time zones."""
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:
        return timezone(timedelta(hours=-8))
