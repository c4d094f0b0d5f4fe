"""Every documented error of the OpenAI family: status, body, headers, and our word for it."""

from typing import Any

import pytest

from shared.domain.failure import FailureKind
from tests.adapters.canned import COMPLETION, Canned
from tests.adapters.conftest import Open
from tests.adapters.test_openai import failure


def error(message: str = "It failed.", kind: Any = None, code: Any = None, **more: Any) -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


FILTERED = error(
    "The response was filtered due to the prompt triggering the content management policy.",
    code="content_filter",
    status=400,
    innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
)
ASKED_TOO_MUCH = (
    "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, "
    "Requested 33203. The input or output tokens must be reduced in order to run successfully."
)
TOO_LONG = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001."
)
K = FailureKind
DOCUMENTED: list[tuple[str, int, Any, dict[str, str], FailureKind, float | None]] = [
    # OpenAI
    ("bad request", 400, error(kind="invalid_request_error"), {}, K.BAD_REQUEST, None),
    ("context", 400, error(TOO_LONG, code="context_length_exceeded"), {}, K.CONTEXT_LENGTH, None),
    ("long text", 400, error(code="string_above_max_length"), {}, K.TOO_LARGE, None),
    ("policy", 400, error(code="content_policy_violation"), {}, K.CONTENT_FILTERED, None),
    ("flagged", 400, error("Invalid prompt", code="invalid_prompt"), {}, K.CONTENT_FILTERED, None),
    ("bill", 400, error(code="billing_hard_limit_reached"), {}, K.QUOTA, None),
    ("key", 401, error("Incorrect API key", code="invalid_api_key"), {}, K.AUTH, None),
    ("region", 403, error(code="unsupported_country_region_territory"), {}, K.AUTH, None),
    ("model", 404, error(code="model_not_found"), {}, K.NOT_FOUND, None),
    ("conflict", 409, error(), {}, K.BAD_REQUEST, None),
    ("size", 413, error(), {}, K.TOO_LARGE, None),
    ("unprocessable", 422, error(), {}, K.BAD_REQUEST, None),
    (
        "rate", 429, error("Limit 30000", "tokens", "rate_limit_exceeded"),
        {"retry-after-ms": "6"}, K.RATE_LIMITED, 0.006,
    ),
    ("ramp", 429, error(code="slow_down"), {"retry-after": "7"}, K.SLOW_DOWN, 7.0),
    ("ramp by 503", 503, error(code="slow_down"), {}, K.SLOW_DOWN, None),
    ("too big", 429, error(ASKED_TOO_MUCH, "tokens", "rate_limit_exceeded"), {}, K.TOO_LARGE, None),
    ("quota", 429, error(kind="insufficient_quota"), {}, K.QUOTA, None),
    ("no wait", 429, error(kind="insufficient_quota"), {"retry-after": "2"}, K.QUOTA, None),
    ("flex", 429, error(code="resource_unavailable"), {}, K.OVERLOADED, None),
    ("inactive", 429, error(code="billing_not_active"), {}, K.QUOTA, None),
    ("server", 500, error(kind="server_error"), {}, K.SERVER, None),
    ("gateway", 502, b"<html>bad gateway</html>", {}, K.SERVER, None),
    ("overload", 503, error(code="server_is_overloaded"), {}, K.OVERLOADED, None),
    ("unavailable", 503, error(kind="server_error"), {}, K.OVERLOADED, None),
    ("timeout", 504, b"", {}, K.SERVER, None),
    ("slow upload", 408, error(), {}, K.TIMEOUT, None),
    ("by a proxy", 529, b"", {"retry-after": "3"}, K.OVERLOADED, 3.0),
    ("unknown", 520, b"", {}, K.SERVER, None),
    *(
        ("spent", 429, error(kind="insufficient_quota", code=code), {}, K.QUOTA, None)
        for code in (
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        )
    ),
    # Azure
    ("azure filter", 400, FILTERED, {}, K.CONTENT_FILTERED, None),
    (
        "azure inner word alone", 400,
        error(innererror={"code": "ResponsibleAIPolicyViolation"}), {}, K.CONTENT_FILTERED, None,
    ),
    (
        "azure rate", 429, error("Please retry after 2 seconds.", code="429"),
        {"retry-after-ms": "1500", "retry-after": "2"}, K.RATE_LIMITED, 1.5,
    ),
    ("azure capacity", 429, error(code="NoCapacity"), {}, K.OVERLOADED, None),
    ("azure deployment", 404, error(code="DeploymentNotFound"), {}, K.NOT_FOUND, None),
    (
        "azure gateway", 429, {"statusCode": 429, "message": "Rate limit is exceeded."},
        {"retry-after": "30"}, K.RATE_LIMITED, 30.0,
    ),
    ("azure key", 401, error("Access denied", code="401"), {}, K.AUTH, None),
    # xAI
    (
        "xai key", 400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: x"},
        {}, K.AUTH, None,
    ),
    (
        "xai model", 404,
        {"code": "Some requested entity was not found", "error": "The model grok-x is unknown."},
        {}, K.NOT_FOUND, None,
    ),
    (
        "xai safety", 403,
        {"code": "No permission", "error": "Content violates usage guidelines. Team: t"},
        {}, K.CONTENT_FILTERED, None,
    ),
    (
        "xai credits", 429,
        {"code": "Exhausted", "error": "Your team has used all available credits."},
        {}, K.QUOTA, None,
    ),
    (
        "xai context", 400,
        {"code": "Invalid", "error": "This model's maximum prompt length is 131072."},
        {}, K.CONTEXT_LENGTH, None,
    ),
    # Compatible servers
    ("ollama", 404, {"error": "model 'llama9' not found"}, {}, K.NOT_FOUND, None),
    ("ollama broke", 500, {"error": "llama runner terminated"}, {}, K.SERVER, None),
    (
        "vllm", 400, {"object": "error", "message": TOO_LONG, "code": 400},
        {}, K.CONTEXT_LENGTH, None,
    ),
    (
        "llama.cpp", 400, error("the request exceeds", "exceed_context_size_error", 400),
        {}, K.CONTEXT_LENGTH, None,
    ),
    ("deepseek", 402, error("Insufficient Balance", "unknown_error"), {}, K.QUOTA, None),
    (
        "google's list", 429, [error("Quota.", code=429, status="RESOURCE_EXHAUSTED")],
        {}, K.RATE_LIMITED, None,
    ),
    ("fastapi", 422, {"detail": [{"msg": "Field required"}]}, {}, K.BAD_REQUEST, None),
]  # fmt: skip


async def test_each_documented_error_has_our_word_and_its_wait(
    provider: Canned, open_adapter: Open
) -> None:
    adapter = open_adapter(provider.url)
    for name, status, body, headers, kind, wait in DOCUMENTED:
        provider.says(body if not isinstance(body, bytes) else None, status)
        provider.headers = headers
        if isinstance(body, bytes):
            provider.body = body
        refusal = await failure(adapter)
        assert (refusal.kind, refusal.retry_after) == (kind, wait), f"{name}: {refusal.message}"
        assert refusal.message.startswith(f"{status}: ")


@pytest.mark.parametrize(
    ("body", "kind", "prose"),
    [
        ({"error": "it is too hot"}, FailureKind.SERVER, "it is too hot"),
        (error("Slower.", code=429), FailureKind.RATE_LIMITED, "Slower."),
        (error("Bad.", "invalid_request_error"), FailureKind.BAD_REQUEST, "Bad."),
        (error("Bad.", "BadRequestError", 400), FailureKind.BAD_REQUEST, "Bad."),
        ([error("In a list.")], FailureKind.BAD_RESPONSE, "not a chat completion"),
        ({"object": "error", "message": "Old vLLM.", "code": 503}, FailureKind.OVERLOADED, "Old"),
    ],
)
async def test_an_error_with_status_200_has_its_kind(
    provider: Canned, open_adapter: Open, body: Any, kind: FailureKind, prose: str
) -> None:
    provider.says(body, x_request_id="req_9")
    refusal = await failure(open_adapter(provider.url))
    assert refusal.kind is kind
    assert prose in refusal.message
    assert refusal.provider_request_id == "req_9"


async def test_what_is_no_answer_but_tells_its_usage_is_billed_by_it(
    provider: Canned, open_adapter: Open
) -> None:
    provider.says({**COMPLETION, "choices": []})
    refusal = await failure(open_adapter(provider.url))
    assert refusal.kind is FailureKind.BAD_RESPONSE
    assert refusal.usage is not None
    assert (refusal.usage.input_tokens, refusal.usage.output_tokens) == (9, 7)
