"""What an error of Anthropic's API means."""

import re
from collections.abc import Mapping
from typing import Any, Final

from shared.domain.failure import FailureKind
from worker.adapters.refusals import kind_of_status

# Asked in this order, the status last: a 429 or a 400 may mean "never again".
KIND_OF_CODE: Final = {
    "ramp_limit_exceeded": FailureKind.SLOW_DOWN,
    "enforced_spend_limit_reached": FailureKind.QUOTA,
    "contract_spend_limit_reached": FailureKind.QUOTA,
    "linked_organization_spend_limit_reached": FailureKind.QUOTA,
    "linked_organization_billing_unavailable": FailureKind.QUOTA,
    # A fault of the account: another deployment may answer.
    "organization_on_hold": FailureKind.AUTH,
    "cmek_key_disabled": FailureKind.AUTH,
    "cmek_key_network_blocked": FailureKind.AUTH,
    "cmek_key_unreachable": FailureKind.OVERLOADED,
    "cmek_context_unavailable": FailureKind.OVERLOADED,
    "image_dimensions_too_large": FailureKind.TOO_LARGE,
}
KIND_OF_TYPE: Final = {
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "overloaded_error": FailureKind.OVERLOADED,
    "billing_error": FailureKind.QUOTA,
    "authentication_error": FailureKind.AUTH,
    "permission_error": FailureKind.AUTH,
    "not_found_error": FailureKind.NOT_FOUND,
    "request_too_large": FailureKind.TOO_LARGE,
}
KIND_OF_PROSE: Final = (
    (re.compile(r"^you have reached your specified", re.IGNORECASE), FailureKind.QUOTA),
    (re.compile(r"credit balance is too low", re.IGNORECASE), FailureKind.QUOTA),
    (re.compile(r"prompt is too long", re.IGNORECASE), FailureKind.CONTEXT_LENGTH),
    (re.compile(r"exceed context limit", re.IGNORECASE), FailureKind.CONTEXT_LENGTH),
    (re.compile(r"content filtering policy", re.IGNORECASE), FailureKind.CONTENT_FILTERED),
)
IN_AN_ANSWER: Final = 500
"""The status to judge an error by that comes under status 200, whole or amid a stream."""


def classify(status: int, error: Any, *, retry_after: float | None = None) -> FailureKind:
    """The failure kind of the `error` of a reply: its code, type, prose, then its status.

    `retry_after`: seconds that the reply asks to wait. A 429 that asks for none will not pass
    by waiting: it is a limit of spending.
    """
    details = error if isinstance(error, Mapping) else {}
    code, said = _code_of(details), str(details.get("type"))
    kind = KIND_OF_CODE.get(code) or KIND_OF_TYPE.get(said) or _kind_of_prose(details)
    if kind is None:
        kind = kind_of_status(status)
    endless = status == 429 and retry_after is None and code not in KIND_OF_CODE
    return FailureKind.QUOTA if endless and kind is FailureKind.RATE_LIMITED else kind


def error_of(body: Any) -> Any:
    """The `error` in the body of a reply; None where it has another shape."""
    return body.get("error") if isinstance(body, Mapping) else None


def message_of(error: Any) -> str | None:
    """What the error says; None where it says nothing."""
    message = error.get("message") if isinstance(error, Mapping) else None
    return str(message) if message else None


def _code_of(details: Mapping[str, Any]) -> str:
    inner = details.get("details")
    return str(inner.get("error_code")) if isinstance(inner, Mapping) else ""


def _kind_of_prose(details: Mapping[str, Any]) -> FailureKind | None:
    message = str(details.get("message"))
    return next((kind for prose, kind in KIND_OF_PROSE if prose.search(message)), None)
