"""The OpenAI adapter against a provider that misbehaves: one request, and the right word for it."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared.domain.conversation import Message, Role
from shared.domain.failure import FailureKind
from shared.domain.generation import FinishReason, GenerationRequest
from tests.adapters.canned import COMPLETION, Canned
from tests.adapters.conftest import Open
from tests.simulator.process import MODEL, Simulator
from worker.adapters.base import Adapter, Answer, CallError

REQUEST = GenerationRequest(
    model=MODEL, messages=(Message(role=Role.USER, content="Why tea?"),), max_tokens=50
)
MESSAGE = COMPLETION["choices"][0]["message"]


async def call(adapter: Adapter, timeout: float = 10.0) -> Answer:
    return await adapter.complete(REQUEST, model=MODEL, attempt_id="att_1", timeout=timeout)


async def failure(adapter: Adapter, timeout: float = 10.0) -> CallError:
    with pytest.raises(CallError) as caught:
        await call(adapter, timeout)
    return caught.value


def completion(**choice: Any) -> dict[str, Any]:
    """A chat completion whose only choice says this instead."""
    return {**COMPLETION, "choices": [{**COMPLETION["choices"][0], **choice}]}


@pytest.fixture
def full_port() -> Iterator[str]:
    """A port that answers no further handshake: its queue is full, as of a host that hangs."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(listening.getsockname())
        yield "http://{}:{}".format(*listening.getsockname())
        for filler in fillers:
            filler.close()


async def test_an_answer_comes_with_its_usage_and_its_request_id(
    simulator: Simulator, open_adapter: Open
) -> None:
    answer = await call(open_adapter(simulator.url))
    line = simulator.ledger()[-1]
    assert answer.result.usage is not None
    assert answer.result.usage.input_tokens == line.prompt_tokens
    assert answer.result.usage.output_tokens == line.completion_tokens
    assert (answer.provider_request_id, line.client_request_id) == (line.request_id, "att_1")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 400}, FailureKind.BAD_REQUEST),
        ({"status": 401}, FailureKind.AUTH),
        ({"status": 403}, FailureKind.AUTH),
        ({"status": 404}, FailureKind.NOT_FOUND),
        ({"status": 413}, FailureKind.TOO_LARGE),
        ({"status": 429}, FailureKind.RATE_LIMITED),
        ({"status": 429, "code": "insufficient_quota"}, FailureKind.QUOTA),
        ({"status": 429, "type": "insufficient_quota"}, FailureKind.QUOTA),
        ({"status": 400, "code": "context_length_exceeded"}, FailureKind.CONTEXT_LENGTH),
        ({"status": 400, "code": "content_filter"}, FailureKind.CONTENT_FILTERED),
        ({"status": 408, "type": "timeout"}, FailureKind.TIMEOUT),
        ({"status": 500}, FailureKind.SERVER),
        ({"status": 503, "type": "unheard_of"}, FailureKind.OVERLOADED),
        ({"status": 529, "type": "overloaded_error"}, FailureKind.OVERLOADED),
        ({"garbage": True}, FailureKind.BAD_RESPONSE),
        ({"truncate": True}, FailureKind.CONNECTION),
        ({"error_200": True, "code": "server_is_overloaded"}, FailureKind.OVERLOADED),
        ({"error_200": True, "code": "rate_limit_exceeded"}, FailureKind.RATE_LIMITED),
        ({"error_200": True, "type": "strange"}, FailureKind.SERVER),
        ({"finish_reason": "unheard_of"}, FailureKind.BAD_RESPONSE),
        ({"reset": "before"}, FailureKind.CONNECTION),
        ({"reset": "after"}, FailureKind.CONNECTION),
    ],
)
async def test_each_misbehaviour_has_its_kind_and_costs_one_request(
    simulator: Simulator, open_adapter: Open, fault: dict[str, Any], kind: FailureKind
) -> None:
    await simulator.script({"do": fault})
    error = await failure(open_adapter(simulator.url))
    assert error.kind == kind, error.message
    assert error.message
    assert (await simulator.stats())["accepted"] == 1


@pytest.mark.parametrize("fault", [{"hang": True}, {"slow_bytes": 30.0}])
async def test_silence_before_or_within_the_answer_is_a_timeout(
    simulator: Simulator, open_adapter: Open, fault: dict[str, Any]
) -> None:
    await simulator.script({"do": fault})
    began = time.monotonic()
    error = await failure(open_adapter(simulator.url), timeout=0.4)
    assert error.kind == FailureKind.TIMEOUT, error.message
    assert time.monotonic() - began < 5
    assert (await simulator.stats())["accepted"] == 1


async def test_an_answer_without_usage_is_an_answer(
    simulator: Simulator, open_adapter: Open
) -> None:
    await simulator.script({"do": {"no_usage": True}})
    assert (await call(open_adapter(simulator.url))).result.usage is None


async def test_a_filtered_answer_is_an_answer_that_says_so(
    simulator: Simulator, open_adapter: Open
) -> None:
    await simulator.script({"do": {"content": "", "finish_reason": "content_filter"}})
    result = (await call(open_adapter(simulator.url))).result
    assert (result.content, result.finish_reason) == ("", FinishReason.CONTENT_FILTER)


async def test_a_wait_is_told_to_the_millisecond(simulator: Simulator, open_adapter: Open) -> None:
    await simulator.script({"do": {"status": 429, "retry_after": 1.25}})
    assert (await failure(open_adapter(simulator.url))).retry_after == 1.25


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:59:00 GMT", 0.0),
    ],
)
async def test_a_wait_may_be_seconds_or_a_date(
    provider: Canned, open_adapter: Open, header: str, seconds: float
) -> None:
    provider.says({"error": {"message": "slower"}}, 429, retry_after=header)
    error = await failure(open_adapter(provider.url))
    assert (error.kind, error.retry_after) == (FailureKind.RATE_LIMITED, seconds)
    assert len(provider.heard) == 1, "the client waits and repeats nothing by itself"


async def test_a_closed_port_is_unreachable_so_nothing_is_charged(open_adapter: Open) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = "http://{}:{}".format(*probe.getsockname())
        error = await failure(open_adapter(url))
    assert error.kind == FailureKind.UNREACHABLE, error.message


async def test_a_host_that_never_shakes_hands_is_unreachable_after_the_connect_timeout(
    full_port: str, open_adapter: Open
) -> None:
    began = time.monotonic()
    error = await failure(open_adapter(full_port, connect=0.3), timeout=20)
    assert error.kind == FailureKind.UNREACHABLE, error.message
    assert time.monotonic() - began < 5


async def test_a_server_that_closes_without_a_word_may_have_billed(open_adapter: Open) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(open_adapter(f"http://127.0.0.1:{port}"))
    assert error.kind == FailureKind.CONNECTION, error.message


@pytest.mark.parametrize(
    "body",
    [
        {**COMPLETION, "choices": []},
        {**COMPLETION, "choices": None},
        completion(message={"role": "assistant", "content": None}),
        completion(message=None),
        completion(finish_reason=None),
        {},
        [],
        "fine",
        None,
    ],
)
async def test_what_is_no_completion_is_a_bad_response(
    provider: Canned, open_adapter: Open, body: Any
) -> None:
    provider.says(body, x_request_id="req_9")
    error = await failure(open_adapter(provider.url))
    assert error.kind == FailureKind.BAD_RESPONSE, error.message
    assert error.provider_request_id == "req_9"


async def test_a_refusal_is_an_answer(provider: Canned, open_adapter: Open) -> None:
    provider.says(completion(message={**MESSAGE, "content": None, "refusal": "I will not."}))
    result = (await call(open_adapter(provider.url))).result
    assert (result.content, result.refusal) == ("", "I will not.")


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<html>nginx</html>", b'"plain"', b"{}"])
async def test_an_error_without_openais_shape_is_judged_by_its_status(
    provider: Canned, open_adapter: Open, body: bytes
) -> None:
    provider.body, provider.status = body, 502
    error = await failure(open_adapter(provider.url))
    assert error.kind == FailureKind.SERVER
    assert error.message.startswith("502: ")


async def test_a_long_complaint_is_cut(provider: Canned, open_adapter: Open) -> None:
    provider.says({"error": {"message": "long " * 10_000}}, 400)
    assert len((await failure(open_adapter(provider.url))).message) == 500


async def test_the_environment_puts_nothing_on_the_wire(
    provider: Canned, open_adapter: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ambient = {
        "OPENAI_API_KEY": "leak-key",
        "OPENAI_ADMIN_KEY": "leak-admin",
        "OPENAI_ORG_ID": "leak-organization",
        "OPENAI_PROJECT_ID": "leak-project",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/leak",
        "OPENAI_CUSTOM_HEADERS": "X-Extra: leak-extra\nAuthorization: Bearer leak-header\n"
        "User-Agent: leak-agent\nX-Client-Request-Id: leak-id",
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    await call(open_adapter(provider.url))
    await call(open_adapter(provider.url, key=None))
    sent = [headers for headers, _ in provider.heard]
    assert [headers["authorization"] for headers in sent] == ["Bearer sk-ours", "Bearer none"]
    assert [headers["x-client-request-id"] for headers in sent] == ["att_1", "att_1"]
    assert "leak" not in str(provider.heard)
    assert "openai-organization" not in sent[0]


async def test_a_redirect_is_not_followed(provider: Canned, open_adapter: Open) -> None:
    provider.says({}, 307, location=f"{provider.url}/v2/chat/completions")
    assert (await failure(open_adapter(provider.url))).kind == FailureKind.NOT_FOUND
    assert len(provider.heard) == 1, "the prompt goes nowhere else"


async def test_a_check_asks_for_the_models_and_costs_nothing(
    provider: Canned, open_adapter: Open
) -> None:
    provider.says({"object": "list", "data": []})
    adapter = open_adapter(provider.url)
    await adapter.check(timeout=5)
    assert provider.asked == ["GET /v1/models HTTP/1.1"]
    provider.says({"error": {"code": "invalid_api_key", "message": "who?"}}, 401)
    with pytest.raises(CallError, match="401: who"):
        await adapter.check(timeout=5)


async def test_the_older_name_of_the_bound_is_used_where_it_must_be(
    provider: Canned, open_adapter: Open
) -> None:
    await call(open_adapter(provider.url, legacy_max_tokens=True))
    [(_, body)] = provider.heard
    assert body["max_tokens"] == 50
    assert "max_completion_tokens" not in body


async def test_the_wire_carries_exactly_what_was_asked(
    provider: Canned, open_adapter: Open
) -> None:
    await call(open_adapter(provider.url))
    [(headers, body)] = provider.heard
    assert headers["content-type"] == "application/json"
    assert body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Why tea?"}],
        "max_completion_tokens": 50,
    }
