"""What the errors of OpenAI and of those who speak like it mean, whichever wire brings them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.domain.failure import FailureKind
from worker.adapters.base import CallError
from worker.adapters.openai_usage import billed
from worker.adapters.refusals import kind_of_status

MAX_MESSAGE: Final = 500
# Type and code are asked before the status: a 429 may mean "slower" or "never again".
KIND_OF_CODE: Final = {
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "slow_down": FailureKind.SLOW_DOWN,
    "insufficient_quota": FailureKind.QUOTA,
    "credit_balance_exhausted": FailureKind.QUOTA,
    "organization_spend_limit_exceeded": FailureKind.QUOTA,
    "project_spend_limit_exceeded": FailureKind.QUOTA,
    "organization_usage_limit_exceeded": FailureKind.QUOTA,
    "billing_not_active": FailureKind.QUOTA,
    "billing_hard_limit_reached": FailureKind.QUOTA,
    "invalid_api_key": FailureKind.AUTH,
    "account_deactivated": FailureKind.AUTH,
    "unsupported_country_region_territory": FailureKind.AUTH,
    "model_not_found": FailureKind.NOT_FOUND,
    "DeploymentNotFound": FailureKind.NOT_FOUND,
    "context_length_exceeded": FailureKind.CONTEXT_LENGTH,
    "exceed_context_size_error": FailureKind.CONTEXT_LENGTH,
    "string_above_max_length": FailureKind.TOO_LARGE,
    "request_too_large": FailureKind.TOO_LARGE,
    "image_too_large": FailureKind.TOO_LARGE,
    "image_file_too_large": FailureKind.TOO_LARGE,
    "content_filter": FailureKind.CONTENT_FILTERED,
    "content_policy_violation": FailureKind.CONTENT_FILTERED,
    "ResponsibleAIPolicyViolation": FailureKind.CONTENT_FILTERED,
    "image_content_policy_violation": FailureKind.CONTENT_FILTERED,
    "misalignment_policy_violation": FailureKind.CONTENT_FILTERED,
    "bio_policy": FailureKind.CONTENT_FILTERED,
    # OpenAI's word for a prompt that was flagged.
    "invalid_prompt": FailureKind.CONTENT_FILTERED,
    "server_is_overloaded": FailureKind.OVERLOADED,
    "overloaded_error": FailureKind.OVERLOADED,
    "NoCapacity": FailureKind.OVERLOADED,
    # A 429 of the flex tier, which has no limit but none to spare.
    "resource_unavailable": FailureKind.OVERLOADED,
    "vector_store_timeout": FailureKind.SERVER,
    # These come without a status of their own, in a response that failed.
    "data_residency_mismatch": FailureKind.BAD_REQUEST,
    "invalid_image": FailureKind.BAD_REQUEST,
    "invalid_image_format": FailureKind.BAD_REQUEST,
    "invalid_base64_image": FailureKind.BAD_REQUEST,
    "invalid_image_url": FailureKind.BAD_REQUEST,
    "invalid_image_mode": FailureKind.BAD_REQUEST,
    "image_too_small": FailureKind.BAD_REQUEST,
    "image_parse_error": FailureKind.BAD_REQUEST,
    "unsupported_image_media_type": FailureKind.BAD_REQUEST,
    "empty_image_file": FailureKind.BAD_REQUEST,
    "failed_to_download_image": FailureKind.BAD_REQUEST,
    "image_file_not_found": FailureKind.BAD_REQUEST,
}
STATUS_OF_TYPE: Final = {"invalid_request_error": 400, "BadRequestError": 400}
"""Of errors that come without a status of their own."""

# One request above the whole limit of a minute is no matter of waiting, though its code says so.
PROSE_OVER_CODE: Final = ((re.compile(r"^Request too large for\b"), FailureKind.TOO_LARGE),)
# Compatible servers, and xAI, say it in prose only.
PROSE: Final = (
    (
        re.compile(
            r"maximum (?:context|prompt) length|exceeds the available context", re.IGNORECASE
        ),
        FailureKind.CONTEXT_LENGTH,
    ),
    (re.compile(r"content violates usage guidelines", re.IGNORECASE), FailureKind.CONTENT_FILTERED),
    (re.compile(r"incorrect api key", re.IGNORECASE), FailureKind.AUTH),
    (re.compile(r"all available credits|monthly spending limit", re.IGNORECASE), FailureKind.QUOTA),
)


def classify(status: int, error: Any) -> FailureKind:
    """The failure kind of an error reply: its code, then its type, its prose, its status."""
    details = error_of(error)
    message = message_of(details)
    if kind := _said(message, PROSE_OVER_CODE):
        return kind
    for code in _codes(details):
        if kind := KIND_OF_CODE.get(code):
            return kind
    return _said(message, PROSE) or _kind_of_status(status)


def raise_told(body: Any) -> None:
    """Raise CallError where what came with status 200, a body or an event, is an error."""
    if error := _told_error(body):
        message = f"status 200 with an error: {message_of(error) or error}"
        kind = classify_told(error)
        raise CallError(kind, message[:MAX_MESSAGE], usage=billed(body)).under_200()


def classify_told(error: Any) -> FailureKind:
    """The failure kind of an error that came with status 200: its code may be a status."""
    details = error_of(error)
    told = details if isinstance(details, Mapping) else {}
    code = told.get("code")
    if isinstance(code, int) and 400 <= code <= 599:
        return classify(code, details)
    return classify(STATUS_OF_TYPE.get(str(told.get("type")), 500), details)


def error_of(body: Any) -> Any:
    """The error itself, out of the list and the object that some wrap it in."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping) and body.get("error"):
        return body["error"]
    return body


def message_of(error: Any) -> str:
    """The prose of an error; empty where it has none."""
    details = error_of(error)
    if isinstance(details, Mapping):
        return str(details.get("message") or "")
    return details if isinstance(details, str) else ""


def _told_error(body: Any) -> Any:
    if not isinstance(body, Mapping):
        return None
    if "error" in (body.get("type"), body.get("object")):
        return error_of(body)
    if body.get("type") == "response.failed" and isinstance(body.get("response"), Mapping):
        return body["response"].get("error") or {"type": "server_error"}
    return body.get("error")


def _codes(details: Any) -> Iterator[str]:
    """The words of an error that stand in the table, the surest first."""
    if not isinstance(details, Mapping):
        return
    yield str(details.get("code"))
    inner = details.get("innererror")
    if isinstance(inner, Mapping):
        yield str(inner.get("code"))
    yield str(details.get("type"))


def _said(
    message: str, prose: tuple[tuple[re.Pattern[str], FailureKind], ...]
) -> FailureKind | None:
    return next((kind for pattern, kind in prose if pattern.search(message)), None)


def _kind_of_status(status: int) -> FailureKind:
    # Nobody follows a redirect: the provider is not where the catalog says.
    return kind_of_status(status)
