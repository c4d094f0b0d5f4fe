"""Gemini's errors as a table: what each of them means, and how long it asks to wait."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest

from shared.domain.failure import FailureKind
from tests.adapters.gemini_replies import error, quota, reason, retry
from worker.adapters import gemini_refusals
from worker.adapters.gemini_refusals import refusal

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
PLAN = "You exceeded your current quota, please check your plan and billing details."
FREE = f"{PLAN} * Quota exceeded for metric: requests, limit: 0, model: gemini-3.1-pro"
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
EXHAUSTED = "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (error(429, EXHAUSTED, "slower"), FailureKind.RATE_LIMITED),
        (error(429, EXHAUSTED, PLAN, quota(PER_MINUTE), retry("46s")), FailureKind.RATE_LIMITED),
        (error(429, EXHAUSTED, PLAN, retry("46s")), FailureKind.RATE_LIMITED),
        (error(429, EXHAUSTED, "limit: 0.5"), FailureKind.RATE_LIMITED),
        (error(429, EXHAUSTED, PLAN), FailureKind.QUOTA),
        (error(429, EXHAUSTED, PLAN, quota(PER_MINUTE, PER_DAY), retry("9s")), FailureKind.QUOTA),
        (error(429, EXHAUSTED, FREE, quota(PER_MINUTE), retry("9s")), FailureKind.QUOTA),
        (error(429, EXHAUSTED, "x", quota(PER_MINUTE, quotaValue="0")), FailureKind.QUOTA),
        (error(429, EXHAUSTED, "It exceeded its monthly spending cap."), FailureKind.QUOTA),
        (error(402, "UNKNOWN", "Your prepaid credits are used up."), FailureKind.QUOTA),
        (error(403, "PERMISSION_DENIED", "x", reason("BILLING_DISABLED")), FailureKind.QUOTA),
        (error(400, "INVALID_ARGUMENT", "x", reason("API_KEY_INVALID")), FailureKind.AUTH),
        (error(400, "INVALID_ARGUMENT", "API key not valid."), FailureKind.AUTH),
        (error(400, "INVALID_ARGUMENT", "API key expired."), FailureKind.AUTH),
        (error(400, "FAILED_PRECONDITION", "User location is not supported"), FailureKind.AUTH),
        (error(400, "FAILED_PRECONDITION", "Not now."), FailureKind.BAD_REQUEST),
        (error(401, "UNAUTHENTICATED"), FailureKind.AUTH),
        (error(403, "PERMISSION_DENIED"), FailureKind.AUTH),
        (error(403, "PERMISSION_DENIED", "x", reason("SERVICE_DISABLED")), FailureKind.AUTH),
        (
            error(403, "PERMISSION_DENIED", "You do not have permission to access the File abc"),
            FailureKind.BAD_REQUEST,
        ),
        (error(404, "NOT_FOUND"), FailureKind.NOT_FOUND),
        (error(400, "INVALID_ARGUMENT", TOO_LONG), FailureKind.CONTEXT_LENGTH),
        (
            error(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 1 bytes."),
            FailureKind.TOO_LARGE,
        ),
        (error(413, "INVALID_ARGUMENT", "too large"), FailureKind.TOO_LARGE),
        (error(400, "INVALID_ARGUMENT", "Unknown name"), FailureKind.BAD_REQUEST),
        (error(400, "OUT_OF_RANGE"), FailureKind.BAD_REQUEST),
        (error(499, "CANCELLED"), FailureKind.SERVER),
        (error(500, "INTERNAL"), FailureKind.SERVER),
        (error(500, "UNKNOWN"), FailureKind.SERVER),
        (error(504, "DEADLINE_EXCEEDED"), FailureKind.SERVER),
        (error(503, "UNAVAILABLE"), FailureKind.OVERLOADED),
        ([error(503, "UNAVAILABLE")], FailureKind.OVERLOADED),
        ({"error": {"status": "UNAVAILABLE"}}, FailureKind.OVERLOADED),
        ({"error": "text"}, FailureKind.SERVER),
    ],
)
def test_each_documented_error_has_our_word(body: Any, kind: FailureKind) -> None:
    assert refusal(body, NOON).kind is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (307, FailureKind.NOT_FOUND),
        (400, FailureKind.BAD_REQUEST),
        (402, FailureKind.QUOTA),
        (408, FailureKind.TIMEOUT),
        (413, FailureKind.TOO_LARGE),
        (429, FailureKind.RATE_LIMITED),
        (502, FailureKind.SERVER),
        (503, FailureKind.OVERLOADED),
        (504, FailureKind.SERVER),
        (529, FailureKind.OVERLOADED),
    ],
)
@pytest.mark.parametrize("body", [{}, [], "<html>", None, {"error": []}, {"error": {"details": 7}}])
def test_an_error_without_googles_shape_is_judged_by_its_status(
    body: Any, status: int, kind: FailureKind
) -> None:
    failed = refusal(body, NOON, status)
    assert failed.kind is kind
    assert failed.message.startswith(f"{status}: ")


@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([retry("32.5s")], {}, 32.5),
        ([retry("0.25s")], {"retry-after": "9"}, 0.25),
        ([retry("-3s")], {}, 0.0),
        ([retry("9999999s")], {}, 24 * 3600.0),
        ([quota(PER_MINUTE), retry("46s")], {}, 46.0),
        # There is none for this model: its deployment rests, and nobody is switched off.
        ([quota(PER_MINUTE, quotaValue="0"), retry("46s")], {}, 3600.0),
        ([retry("soon")], {"retry-after": "9"}, 9.0),
        ([], {"retry-after": "9"}, 9.0),
        ([], {}, None),
    ],
)
def test_the_wait_is_the_one_that_is_asked_for(
    details: list[Any], headers: dict[str, str], seconds: float | None
) -> None:
    body = error(429, EXHAUSTED, "x", *details)
    assert refusal(body, NOON, 429, headers).retry_after == seconds


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 3, 1, 12, tzinfo=UTC), 20.0),
        (datetime(2026, 3, 2, 7, 59, 24, tzinfo=UTC), 0.01),
        (datetime(2026, 3, 2, 8, tzinfo=UTC), 24.0),
        (datetime(2026, 3, 8, 9, tzinfo=UTC), 22.0),  # the clock leaps forward
        (datetime(2026, 11, 1, 8, tzinfo=UTC), 24.0),  # it falls back: 24 is the most we wait
        (datetime(2026, 7, 1, 12, tzinfo=UTC), 19.0),
    ],
)
def test_a_days_quota_is_new_at_midnight_in_california(now: datetime, hours: float) -> None:
    failed = refusal(error(429, EXHAUSTED, PLAN, quota(PER_DAY), retry("9s")), now)
    assert failed.kind is FailureKind.QUOTA
    assert failed.retry_after == pytest.approx(hours * 3600)


def test_a_system_without_time_zones_is_an_hour_late_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(key: str) -> None:
        raise ZoneInfoNotFoundError(key)

    monkeypatch.setattr(gemini_refusals, "ZoneInfo", nowhere)
    summer = datetime(2026, 7, 1, 12, tzinfo=UTC)
    failed = refusal(error(429, EXHAUSTED, PLAN, quota(PER_DAY)), summer)
    assert failed.retry_after == 20 * 3600.0


def test_a_long_complaint_is_cut() -> None:
    assert len(refusal(error(400, "INVALID_ARGUMENT", "long " * 1000), NOON).message) == 500
