"""The Anthropic adapter at the wire: one request, and the right word for what comes back."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, Usage
from tests.adapters.anthropic_calls import MODEL, adapter_of, call, failure
from tests.adapters.anthropic_messages import MESSAGE, STOP, TALK, closes, error, streamed
from tests.adapters.canned import Canned, canned
from worker.adapters.anthropic import AnthropicAdapter
from worker.adapters.base import CallError

Open = Callable[..., AnthropicAdapter]
Refused = Callable[[], Awaitable[CallError]]


@pytest.fixture
async def provider() -> AsyncIterator[Canned]:
    async with canned() as said:
        said.says(MESSAGE, request_id="req_1")
        yield said


@pytest.fixture(params=["whole", "streamed"])
def told(request: pytest.FixtureRequest) -> list[Delta] | None:
    """What is told of a call, which is made without and with a stream."""
    return [] if request.param == "streamed" else None


@pytest.fixture
async def open_anthropic() -> AsyncIterator[Open]:
    """Makes adapters; each is closed with the test."""
    async with AsyncExitStack() as stack:

        def make(url: str, *, key: str | None = "sk-ours") -> AnthropicAdapter:
            adapter = adapter_of(url, key=key)
            stack.push_async_callback(adapter.close)
            return adapter

        yield make


@pytest.fixture
def refused(provider: Canned, open_anthropic: Open, told: list[Delta] | None) -> Refused:
    """A call that fails, without and with a stream."""
    return lambda: failure(open_anthropic(provider.url), told=told)


def streams(provider: Canned, *events: dict[str, Any]) -> None:
    """This stream is the reply from now on."""
    provider.says(None, request_id="req_1", content_type="text/event-stream")
    provider.body = streamed(*events)


async def test_an_answer_comes_with_its_usage_and_its_request_id(
    provider: Canned, open_anthropic: Open
) -> None:
    answer = await call(open_anthropic(provider.url))
    assert answer.result.content == "Fine."
    assert answer.result.usage == Usage(input_tokens=9, output_tokens=7)
    assert answer.result.first_token_ms is None
    assert answer.provider_request_id == "req_1"


async def test_the_wire_carries_exactly_what_was_asked(
    provider: Canned, open_anthropic: Open
) -> None:
    await call(open_anthropic(provider.url))
    [(headers, body)] = provider.heard
    assert headers["authorization"] == "Bearer sk-ours"
    assert headers["anthropic-version"] == "2026-10-21"
    assert headers["x-client-request-id"] == "att_1"
    assert headers["content-type"] == "application/json"
    assert body == {
        "model": MODEL,
        "max_tokens": 50_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Why tea?"}]}],
    }


async def test_the_environment_and_the_disk_put_nothing_on_the_wire(
    provider: Canned, open_anthropic: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = {
        "base_url": "http://127.0.0.1:9/leak",
        "workspace_id": "leak-workspace",
        "authentication": {"type": "api_key", "api_key": "leak-profile"},
    }
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "default.json").write_text(json.dumps(profile))
    (tmp_path / "active_config").write_text("default")
    ambient = {
        "ANTHROPIC_API_KEY": "leak-key",
        "ANTHROPIC_AUTH_TOKEN": "leak-token",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9/leak",
        "ANTHROPIC_PROFILE": "default",
        "ANTHROPIC_CONFIG_DIR": str(tmp_path),
        "ANTHROPIC_IDENTITY_TOKEN": "leak-identity",
        "ANTHROPIC_FEDERATION_RULE_ID": "leak-rule",
        "ANTHROPIC_ORGANIZATION_ID": "leak-organization",
        "ANTHROPIC_WORKSPACE_ID": "leak-workspace",
        "ANTHROPIC_CUSTOM_HEADERS": "X-Extra: leak-extra\nAuthorization: Bearer leak-header\n"
        "X-Api-Key: leak\nUser-Agent: leak-agent\nAnthropic-Version: leak\n"
        "X-Client-Request-Id: leak-id",
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    await call(open_anthropic(provider.url))
    await call(open_anthropic(provider.url, key=None))
    sent = [headers for headers, _ in provider.heard]
    assert [headers["authorization"] for headers in sent] == ["Bearer sk-ours", "Bearer none"]
    assert [headers["x-client-request-id"] for headers in sent] == ["att_1", "att_1"]
    assert "leak" not in str(provider.heard)


@pytest.mark.parametrize(
    ("said", "headers", "kind", "wait"),
    [
        (
            (error("rate_limit_error"), 429),
            {"retry-after": "7"},
            FailureKind.RATE_LIMITED,
            7.0,
        ),
        ((error("rate_limit_error"), 429), {}, FailureKind.QUOTA, None),
        ((error("billing_error"), 402), {}, FailureKind.QUOTA, None),
        ((error("not_found_error"), 404), {}, FailureKind.NOT_FOUND, None),
        (
            (error("overloaded_error"), 529),
            {"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"},
            FailureKind.OVERLOADED,
            30.0,
        ),
        (({}, 302), {"location": "/elsewhere"}, FailureKind.NOT_FOUND, None),
        (("plain", 500), {}, FailureKind.SERVER, None),
    ],
)
async def test_a_refusal_has_its_kind_and_its_wait_and_costs_one_request(
    provider: Canned,
    refused: Refused,
    said: tuple[Any, int],
    headers: dict[str, str],
    kind: FailureKind,
    wait: float | None,
) -> None:
    provider.says(*said)
    provider.headers = {"request-id": "req_9", **headers}
    failed = await refused()
    assert (failed.kind, failed.retry_after) == (kind, wait), failed.message
    assert failed.message.startswith(f"{said[1]}: ")
    assert failed.provider_request_id == "req_9"
    assert len(provider.heard) == 1


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<html>nginx</html>", b"{}", b"[]", b"null"])
async def test_what_is_no_message_is_a_bad_response(
    provider: Canned, refused: Refused, body: bytes
) -> None:
    provider.body = body
    failed = await refused()
    assert failed.kind is FailureKind.BAD_RESPONSE, failed.message
    assert failed.provider_request_id == "req_1"


async def test_an_error_under_status_200_is_no_answer(provider: Canned, refused: Refused) -> None:
    provider.says(error("overloaded_error", "busy"), request_id="req_1")
    failed = await refused()
    assert (failed.kind, failed.provider_request_id) == (FailureKind.OVERLOADED, "req_1")
    assert failed.message == "status 200 with an error: busy"


async def test_a_full_context_window_has_a_bill_and_a_request_id(
    provider: Canned, open_anthropic: Open
) -> None:
    reason, adapter = "model_context_window_exceeded", open_anthropic(provider.url)
    provider.says({**MESSAGE, "stop_reason": reason}, request_id="req_1")
    whole = await failure(adapter)
    streams(provider, *TALK[:6], closes(reason), STOP)
    for refused in (whole, await failure(adapter, told=[])):
        assert (refused.kind, refused.provider_request_id) == (FailureKind.CONTEXT_LENGTH, "req_1")
        assert refused.usage is not None


async def test_a_stream_is_told_piece_by_piece(provider: Canned, open_anthropic: Open) -> None:
    streams(provider, *TALK)
    told: list[Delta] = []
    answer = await call(open_anthropic(provider.url), told=told)
    assert [delta.text for delta in told] == ["Fi", "ne."]
    assert answer.result.content == "Fine."
    assert answer.result.first_token_ms is not None
    assert answer.result.usage is not None
    assert answer.result.usage.output_tokens == 50
    assert answer.provider_request_id == "req_1"
    assert provider.heard[0][1]["stream"] is True


@pytest.mark.parametrize("length", [0, 1, 4, len(TALK) - 1])
async def test_a_stream_that_ends_early_may_have_been_billed(
    provider: Canned, open_anthropic: Open, length: int
) -> None:
    streams(provider, *TALK[:length])
    refused = await failure(open_anthropic(provider.url), told=[])
    assert refused.kind is FailureKind.CONNECTION, refused.message
    assert (refused.usage, refused.provider_request_id) == (None, "req_1")


async def test_an_error_amid_a_stream_has_its_kind(provider: Canned, open_anthropic: Open) -> None:
    streams(provider, *TALK[:4], error("overloaded_error", "busy"))
    told: list[Delta] = []
    refused = await failure(open_anthropic(provider.url), told=told)
    assert (refused.kind, refused.provider_request_id) == (FailureKind.OVERLOADED, "req_1")
    assert [delta.text for delta in told] == ["Fi"]


@pytest.mark.parametrize("noise", [b"data: {half\n\n", b"data: 7\n\n", b'data: {"type": []}\n\n'])
async def test_a_stream_of_noise_is_a_bad_response(
    provider: Canned, open_anthropic: Open, noise: bytes
) -> None:
    streams(provider)
    provider.body = noise
    assert (await failure(open_anthropic(provider.url), told=[])).kind is FailureKind.BAD_RESPONSE


async def test_a_check_asks_for_the_models_and_hears_a_refusal(
    provider: Canned, open_anthropic: Open
) -> None:
    adapter = open_anthropic(provider.url)
    await adapter.check(timeout=5)
    provider.says(error("authentication_error", "no such key"), 401)
    with pytest.raises(CallError) as caught:
        await adapter.check(timeout=5)
    assert caught.value.kind is FailureKind.AUTH
    assert provider.asked == ["GET /v1/models HTTP/1.1"] * 2


async def test_a_check_that_reaches_nobody_says_so(open_anthropic: Open) -> None:
    async with canned() as gone:
        adapter = open_anthropic(gone.url)
    with pytest.raises(CallError) as caught:
        await adapter.check(timeout=5)
    assert caught.value.kind is FailureKind.UNREACHABLE


@pytest.mark.parametrize("told", [None, []], ids=["whole", "streamed"])
async def test_silence_is_a_timeout(
    provider: Canned, open_anthropic: Open, told: list[Delta] | None
) -> None:
    if told is None:
        provider.body, provider.headers = b"{", {"content-length": "9"}
    else:
        provider.streams(*TALK[:4])
    provider.holds = True
    refused = await failure(open_anthropic(provider.url), timeout=0.3, told=told)
    assert refused.kind is FailureKind.TIMEOUT, refused.message
    assert len(provider.heard) == 1
