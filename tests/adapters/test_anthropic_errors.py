"""Every error that Anthropic documents, and our word for it."""

from typing import Any

import pytest

from shared.domain.failure import FailureKind
from tests.adapters.anthropic_messages import error
from worker.adapters.anthropic_errors import KIND_OF_CODE, classify, error_of, message_of

WAIT = 12.0
LIMITS = "You have reached your specified API usage limits. You will regain access on 2026-12-01."
DOCUMENTED: list[tuple[int, dict[str, Any], float | None, FailureKind]] = [
    (400, error("invalid_request_error"), None, FailureKind.BAD_REQUEST),
    (400, error("invalid_request_error", LIMITS), None, FailureKind.QUOTA),
    (
        400,
        error("invalid_request_error", "Your credit balance is too low to access the API."),
        None,
        FailureKind.QUOTA,
    ),
    (
        400,
        error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        None,
        FailureKind.CONTEXT_LENGTH,
    ),
    (
        400,
        error("invalid_request_error", "input length and `max_tokens` exceed context limit: 9 + 9"),
        None,
        FailureKind.CONTEXT_LENGTH,
    ),
    (
        400,
        error("invalid_request_error", "Output blocked by content filtering policy"),
        None,
        FailureKind.CONTENT_FILTERED,
    ),
    (
        400,
        error("invalid_request_error", "too wide", "image_dimensions_too_large"),
        None,
        FailureKind.TOO_LARGE,
    ),
    (
        400,
        error("invalid_request_error", "on hold", "organization_on_hold"),
        None,
        FailureKind.AUTH,
    ),
    (
        400,
        error("invalid_request_error", "disabled", "cmek_key_disabled"),
        None,
        FailureKind.AUTH,
    ),
    (
        400,
        error("invalid_request_error", "?", "tool_name_conflict"),
        None,
        FailureKind.BAD_REQUEST,
    ),
    (401, error("authentication_error"), None, FailureKind.AUTH),
    (402, error("billing_error"), None, FailureKind.QUOTA),
    (
        402,
        error("billing_error", "no", "linked_organization_spend_limit_reached"),
        None,
        FailureKind.QUOTA,
    ),
    (403, error("permission_error"), None, FailureKind.AUTH),
    (404, error("not_found_error"), None, FailureKind.NOT_FOUND),
    (408, error("timeout_error"), None, FailureKind.TIMEOUT),
    (409, error("conflict_error"), None, FailureKind.BAD_REQUEST),
    (413, error("request_too_large"), None, FailureKind.TOO_LARGE),
    (
        413,
        error("invalid_request_error", "?", "request_body_too_large_after_decoding"),
        None,
        FailureKind.TOO_LARGE,
    ),
    (422, error("invalid_request_error"), None, FailureKind.BAD_REQUEST),
    (429, error("rate_limit_error"), WAIT, FailureKind.RATE_LIMITED),
    (429, error("rate_limit_error"), 0.0, FailureKind.RATE_LIMITED),
    (429, error("rate_limit_error"), None, FailureKind.QUOTA),
    (
        429,
        error("rate_limit_error", "slower", "ramp_limit_exceeded"),
        WAIT,
        FailureKind.SLOW_DOWN,
    ),
    (
        429,
        error("rate_limit_error", "slower", "ramp_limit_exceeded"),
        None,
        FailureKind.SLOW_DOWN,
    ),
    (
        429,
        error("rate_limit_error", "spent", "enforced_spend_limit_reached"),
        WAIT,
        FailureKind.QUOTA,
    ),
    (
        429,
        error("rate_limit_error", "spent", "contract_spend_limit_reached"),
        None,
        FailureKind.QUOTA,
    ),
    (500, error("api_error"), None, FailureKind.SERVER),
    (503, error("api_error", "?", "cmek_key_unreachable"), None, FailureKind.OVERLOADED),
    (502, error("api_error"), None, FailureKind.SERVER),
    (503, error("api_error"), WAIT, FailureKind.OVERLOADED),
    (504, error("timeout_error"), None, FailureKind.SERVER),
    (529, error("overloaded_error"), WAIT, FailureKind.OVERLOADED),
    (200, error("overloaded_error"), None, FailureKind.OVERLOADED),
    (200, error("rate_limit_error"), None, FailureKind.RATE_LIMITED),
]


@pytest.mark.parametrize(("status", "body", "wait", "kind"), DOCUMENTED)
def test_every_documented_error_has_our_word(
    status: int, body: dict[str, Any], wait: float | None, kind: FailureKind
) -> None:
    assert classify(status, error_of(body), retry_after=wait) is kind


@pytest.mark.parametrize(("code", "kind"), KIND_OF_CODE.items())
def test_a_code_wins_over_type_prose_and_status(code: str, kind: FailureKind) -> None:
    said = error_of(error("api_error", "prompt is too long", code))
    assert all(classify(status, said, retry_after=3.0) is kind for status in (400, 429, 500))


@pytest.mark.parametrize("silent", [None, "", "<html>", {}, [], {"type": None, "details": "x"}])
def test_without_a_word_the_status_decides(silent: Any) -> None:
    assert classify(502, silent) is FailureKind.SERVER
    assert classify(529, silent) is FailureKind.OVERLOADED
    assert classify(403, silent) is FailureKind.AUTH
    assert message_of(silent) is None


def test_prose_is_known_where_it_begins_the_sentence_only() -> None:
    said = {"type": "invalid_request_error", "message": f"The text says: {LIMITS}"}
    assert classify(400, said) is FailureKind.BAD_REQUEST
