"""The Gemini adapter at the wire: one request, and the right word for what comes back."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from shared.domain.conversation import Message, Role
from shared.domain.errors import ConfigurationError
from shared.domain.failure import FailureKind
from shared.domain.generation import (
    Delta,
    FinishReason,
    GenerationRequest,
    RequestKind,
    Usage,
)
from tests.adapters.canned import Canned, canned
from tests.adapters.conftest import Noon
from tests.adapters.gemini_replies import REPLY, error, piece, quota, reply, retry
from worker.adapters.base import Answer, CallError
from worker.adapters.gemini import GeminiAdapter

MODEL = "gemini-3.8-flash"
REQUEST = GenerationRequest(
    model="ours", messages=(Message(role=Role.USER, content="Why tea? ☕"),), max_tokens=50
)
EMBEDDING = GenerationRequest(model="ours", kind=RequestKind.EMBEDDING, input=("a", "b"))
EXHAUSTED = "RESOURCE_EXHAUSTED"
Open = Callable[..., GeminiAdapter]
Refused = Callable[[Any, int], Awaitable[CallError]]


@pytest.fixture
async def provider() -> AsyncIterator[Canned]:
    async with canned() as said:
        said.says(REPLY)
        yield said


@pytest.fixture
async def open_gemini() -> AsyncIterator[Open]:
    """Makes adapters; each is closed with the test."""
    adapters: list[GeminiAdapter] = []

    def make(url: str, *, key: str | None = "ours", connect: float = 5.0) -> GeminiAdapter:
        adapter = GeminiAdapter(
            base_url=f"{url}/gemini",
            key=SecretStr(key) if key else None,
            connections=10,
            connect_timeout=connect,
            clock=Noon(),
            api_version="v1beta",
        )
        adapters.append(adapter)
        return adapter

    yield make
    for adapter in adapters:
        await adapter.close()


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


@pytest.fixture(params=["whole", "streamed"])
def told(request: pytest.FixtureRequest) -> list[Delta] | None:
    """What is told of a call, which is made without and with a stream."""
    return [] if request.param == "streamed" else None


async def call(
    adapter: GeminiAdapter,
    told: list[Delta] | None = None,
    *,
    request: GenerationRequest = REQUEST,
    timeout: float = 10.0,
) -> Answer:
    return await adapter.complete(
        request,
        model=MODEL,
        attempt_id="att_1",
        timeout=timeout,
        told=None if told is None else told.append,
    )


async def failure(
    adapter: GeminiAdapter, told: list[Delta] | None = None, **options: Any
) -> CallError:
    with pytest.raises(CallError) as caught:
        await call(adapter, told, **options)
    return caught.value


@pytest.fixture
def refused(provider: Canned, open_gemini: Open, told: list[Delta] | None) -> Refused:
    """How a call fails that gets this reply; the client waits and repeats nothing by itself."""

    async def fails(body: Any, status: int) -> CallError:
        provider.says(body, status, x_request_id="req_9")
        failed = await failure(open_gemini(provider.url), told)
        assert len(provider.heard) == 1
        return failed

    return fails


async def test_the_wire_carries_exactly_what_was_asked(provider: Canned, open_gemini: Open) -> None:
    answer = await call(open_gemini(provider.url))
    [(headers, body)] = provider.heard
    assert provider.asked == [f"POST /gemini/v1beta/models/{MODEL}:generateContent HTTP/1.1"]
    assert headers["x-goog-api-key"] == "ours"
    assert headers["x-client-request-id"] == "att_1"
    assert headers["content-type"] == "application/json"
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "Why tea? ☕"}]}],
        "generationConfig": {"maxOutputTokens": 50},
    }
    assert answer.provider_request_id == "resp_1"
    assert (answer.result.content, answer.result.first_token_ms) == ("Fine.", None)


async def test_a_stream_is_told_as_it_comes(provider: Canned, open_gemini: Open) -> None:
    provider.streams(piece({"text": "Fi"}), ": alive\n\n", reply({"text": "ne."}), end="\r\n")
    told: list[Delta] = []
    answer = await call(open_gemini(provider.url), told)
    assert told == [Delta(text="Fi"), Delta(text="ne.")]
    assert answer.result.content == "Fine."
    assert answer.result.finish_reason is FinishReason.STOP
    assert answer.result.usage == Usage(input_tokens=9, output_tokens=7, reasoning_tokens=3)
    assert answer.result.first_token_ms is not None
    assert answer.provider_request_id == "resp_1"
    [asked] = provider.asked
    assert asked == f"POST /gemini/v1beta/models/{MODEL}:streamGenerateContent?alt=sse HTTP/1.1"


async def test_texts_are_embedded_by_one_request_that_is_never_a_stream(
    provider: Canned, open_gemini: Open, told: list[Delta] | None
) -> None:
    provider.says({"embeddings": [{"values": [1, 0]}, {"values": [0, 1]}]})
    answer = await call(open_gemini(provider.url), told, request=EMBEDDING)
    assert answer.result.embeddings == ((1.0, 0.0), (0.0, 1.0))
    assert provider.asked == [f"POST /gemini/v1beta/models/{MODEL}:batchEmbedContents HTTP/1.1"]
    assert not told


async def test_a_check_asks_for_the_models(provider: Canned, open_gemini: Open) -> None:
    adapter = open_gemini(provider.url)
    await adapter.check(timeout=5)
    assert provider.asked == ["GET /gemini/v1beta/models HTTP/1.1"]
    provider.says(error(403, "PERMISSION_DENIED", "no"), 403)
    with pytest.raises(CallError, match="403: no") as refused:
        await adapter.check(timeout=5)
    assert refused.value.kind is FailureKind.AUTH


@pytest.mark.parametrize(
    ("body", "kind", "wait"),
    [
        (error(400, "INVALID_ARGUMENT"), FailureKind.BAD_REQUEST, None),
        (error(429, EXHAUSTED, "no", retry("32.5s")), FailureKind.RATE_LIMITED, 32.5),
        (error(429, EXHAUSTED, "no", quota("PerDay")), FailureKind.QUOTA, 20 * 3600),
        (error(500, "INTERNAL"), FailureKind.SERVER, None),
        (error(503, "UNAVAILABLE"), FailureKind.OVERLOADED, None),
    ],
)
async def test_a_refusal_has_our_word_and_costs_one_request(
    refused: Refused, body: dict[str, Any], kind: FailureKind, wait: float | None
) -> None:
    status = body["error"]["code"]
    failed = await refused(body, status)
    assert (failed.kind, failed.retry_after) == (kind, wait)
    assert failed.message == f"{status}: no"
    assert failed.provider_request_id == "req_9"


@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", b'"plain"', b"{}", b"[]", b"null"])
async def test_an_error_without_googles_shape_is_judged_by_its_status(
    provider: Canned, open_gemini: Open, told: list[Delta] | None, body: bytes
) -> None:
    provider.body, provider.status = body, 502
    failed = await failure(open_gemini(provider.url), told)
    assert failed.kind is FailureKind.SERVER
    assert failed.message.startswith("502: ")


async def test_a_redirect_is_not_followed_with_the_key(provider: Canned, open_gemini: Open) -> None:
    provider.says({}, 307, location=f"{provider.url}/elsewhere")
    assert (await failure(open_gemini(provider.url))).kind is FailureKind.NOT_FOUND
    assert len(provider.heard) == 1


@pytest.mark.parametrize(
    "body", [b"", b"fine", b"[]", b"{}", b"null", b"\xff", b'{"candidates": [{}]}']
)
async def test_what_is_no_answer_is_a_bad_response(
    provider: Canned, open_gemini: Open, body: bytes
) -> None:
    provider.body, provider.headers = body, {"x-request-id": "req_9"}
    failed = await failure(open_gemini(provider.url))
    assert failed.kind is FailureKind.BAD_RESPONSE, failed.message
    assert failed.provider_request_id == "req_9"


async def test_an_error_within_an_answer_is_an_error(
    provider: Canned, open_gemini: Open, told: list[Delta] | None
) -> None:
    busy = error(503, "UNAVAILABLE", "busy")
    if told is None:
        provider.says(busy)
    else:
        provider.streams(piece({"text": "Fi"}), busy)
    failed = await failure(open_gemini(provider.url), told)
    assert (failed.kind, failed.message) == (FailureKind.OVERLOADED, "503: busy")


async def test_a_blocked_prompt_tells_what_was_billed(
    provider: Canned, open_gemini: Open, told: list[Delta] | None
) -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 9},
        "responseId": "resp_2",
    }
    if told is None:
        provider.says(blocked)
    else:
        provider.streams(blocked)
    failed = await failure(open_gemini(provider.url), told)
    assert failed.kind is FailureKind.CONTENT_FILTERED
    assert failed.usage == Usage(input_tokens=9)
    assert failed.provider_request_id == "resp_2"


@pytest.mark.parametrize(
    "rest", [(), ('data: {"candidates": [{"content": {"par',), ("data: [DONE]\n",)]
)
async def test_a_stream_without_its_end_may_have_been_billed(
    provider: Canned, open_gemini: Open, rest: tuple[str, ...]
) -> None:
    provider.streams(piece({"text": "Fi"}), *rest)
    told: list[Delta] = []
    failed = await failure(open_gemini(provider.url), told)
    assert failed.kind is FailureKind.CONNECTION, failed.message
    assert failed.provider_request_id == "resp_1"
    assert told == [Delta(text="Fi")]


@pytest.mark.parametrize("junk", ["data: {\n\n", "data: 7\n\n", 'data: {"candidates": 7}\n\n'])
async def test_a_stream_of_junk_is_a_bad_response(
    provider: Canned, open_gemini: Open, junk: str
) -> None:
    provider.streams(piece({"text": "Fi"}), junk)
    failed = await failure(open_gemini(provider.url), [])
    assert failed.kind is FailureKind.BAD_RESPONSE, failed.message


async def test_silence_is_a_timeout(
    provider: Canned, open_gemini: Open, told: list[Delta] | None
) -> None:
    if told is None:
        provider.body, provider.headers = b"{", {"content-length": "9"}
    else:
        provider.streams(piece({"text": "Fi"}))
    provider.holds = True
    began = time.monotonic()
    failed = await failure(open_gemini(provider.url), told, timeout=0.3)
    assert failed.kind is FailureKind.TIMEOUT, failed.message
    assert time.monotonic() - began < 5
    assert len(provider.heard) == 1


async def test_a_closed_port_is_unreachable_so_nothing_is_charged(open_gemini: Open) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        failed = await failure(open_gemini("http://{}:{}".format(*probe.getsockname())))
    assert failed.kind is FailureKind.UNREACHABLE, failed.message


async def test_a_host_that_never_shakes_hands_is_unreachable_after_the_connect_timeout(
    full_port: str, open_gemini: Open
) -> None:
    began = time.monotonic()
    failed = await failure(open_gemini(full_port, connect=0.3), timeout=20)
    assert failed.kind is FailureKind.UNREACHABLE, failed.message
    assert time.monotonic() - began < 5


async def test_a_server_that_closes_without_a_word_may_have_billed(
    open_gemini: Open, told: list[Delta] | None
) -> None:
    calls = 0

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        failed = await failure(open_gemini(f"http://127.0.0.1:{port}"), told)
    assert failed.kind is FailureKind.CONNECTION, failed.message
    assert calls == 1, "the client has no retry of its own"


async def test_the_environment_puts_nothing_on_the_wire(
    provider: Canned, open_gemini: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ambient = {
        "GOOGLE_API_KEY": "leak-google",
        "GEMINI_API_KEY": "leak-gemini",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GENAI_USE_ENTERPRISE": "true",
        "GOOGLE_CLOUD_PROJECT": "leak-project",
        "GOOGLE_CLOUD_LOCATION": "leak-location",
        "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9/leak",
        "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:9/leak",
        "GOOGLE_GENAI_API_VERSION": "leak-version",
        "GOOGLE_GENAI_CLIENT_MODE": "replay",
        "GOOGLE_GENAI_REPLAYS_DIRECTORY": "/leak",
        "GOOGLE_GENAI_HTTP_CLIENT": "httpx2",
        "GOOGLE_APPLICATION_CREDENTIALS": "/leak",
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    await call(open_gemini(provider.url))
    await call(open_gemini(provider.url, key=None))
    sent = [headers for headers, _ in provider.heard]
    assert [headers["x-goog-api-key"] for headers in sent] == ["ours", "none"]
    assert len(set(provider.asked)) == 1
    assert "/gemini/v1beta/models/" in provider.asked[0]
    assert "leak" not in str((provider.heard, provider.asked))


async def test_a_client_that_is_not_there_is_told_with_its_variable(
    open_gemini: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_HTTP_CLIENT", "httpx")
    with pytest.raises(ConfigurationError, match="Unset GOOGLE_GENAI_HTTP_CLIENT"):
        open_gemini("http://127.0.0.1:9")
