"""The Gemini adapter when things go wrong: one request, and the right word for it."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, Usage
from tests.adapters.canned import Canned, canned
from tests.adapters.gemini_calls import failure, opened
from tests.adapters.gemini_replies import REPLY, error, piece, quota, retry
from worker.adapters.base import CallError
from worker.adapters.gemini import GeminiAdapter

EXHAUSTED = "RESOURCE_EXHAUSTED"
Refused = Callable[[Any, int], Awaitable[CallError]]


@pytest.fixture
async def provider() -> AsyncIterator[Canned]:
    async with canned() as said:
        said.says(REPLY)
        yield said


@pytest.fixture
async def adapter(provider: Canned) -> AsyncIterator[GeminiAdapter]:
    async with opened(provider.url) as adapter:
        yield adapter


@pytest.fixture(params=["whole", "streamed"])
def told(request: pytest.FixtureRequest) -> list[Delta] | None:
    """What is told of a call, which is made without and with a stream."""
    return [] if request.param == "streamed" else None


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


@pytest.fixture
def refused(provider: Canned, adapter: GeminiAdapter, told: list[Delta] | None) -> Refused:
    """How a call fails that gets this reply; the client waits and repeats nothing by itself."""

    async def fails(body: Any, status: int) -> CallError:
        provider.says(body, status, x_request_id="req_9")
        failed = await failure(adapter, told)
        assert len(provider.heard) == 1
        return failed

    return fails


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
    provider: Canned, adapter: GeminiAdapter, told: list[Delta] | None, body: bytes
) -> None:
    provider.body, provider.status = body, 502
    failed = await failure(adapter, told)
    assert failed.kind is FailureKind.SERVER
    assert failed.message.startswith("502: ")


async def test_a_redirect_is_not_followed_with_the_key(
    provider: Canned, adapter: GeminiAdapter
) -> None:
    provider.says({}, 307, location=f"{provider.url}/elsewhere")
    assert (await failure(adapter)).kind is FailureKind.NOT_FOUND
    assert len(provider.heard) == 1


@pytest.mark.parametrize(
    "body", [b"", b"fine", b"[]", b"{}", b"null", b"\xff", b'{"candidates": [{}]}']
)
async def test_what_is_no_answer_is_a_bad_response(
    provider: Canned, adapter: GeminiAdapter, told: list[Delta] | None, body: bytes
) -> None:
    provider.body, provider.headers = body, {"x-request-id": "req_9"}
    failed = await failure(adapter, told)
    assert failed.kind is FailureKind.BAD_RESPONSE, failed.message
    assert failed.provider_request_id == "req_9"


async def test_an_error_within_an_answer_is_an_error(
    provider: Canned, adapter: GeminiAdapter, told: list[Delta] | None
) -> None:
    busy = error(503, "UNAVAILABLE", "busy")
    if told is None:
        provider.says(busy)
    else:
        provider.streams(piece({"text": "Fi"}), busy)
    failed = await failure(adapter, told)
    assert (failed.kind, failed.message) == (FailureKind.OVERLOADED, "503: busy")


async def test_a_blocked_prompt_tells_what_was_billed(
    provider: Canned, adapter: GeminiAdapter, told: list[Delta] | None
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
    failed = await failure(adapter, told)
    assert failed.kind is FailureKind.CONTENT_FILTERED
    assert failed.usage == Usage(input_tokens=9)
    assert failed.provider_request_id == "resp_2"


@pytest.mark.parametrize(
    "rest", [(), ('data: {"candidates": [{"content": {"par',), ("data: [DONE]\n",)]
)
async def test_a_stream_without_its_end_may_have_been_billed(
    provider: Canned, adapter: GeminiAdapter, rest: tuple[str, ...]
) -> None:
    provider.streams(piece({"text": "Fi"}), *rest)
    told: list[Delta] = []
    failed = await failure(adapter, told)
    assert failed.kind is FailureKind.CONNECTION, failed.message
    assert failed.provider_request_id == "resp_1"
    assert told == [Delta(text="Fi")]


@pytest.mark.parametrize("junk", ["data: {\n\n", "data: 7\n\n", 'data: {"candidates": 7}\n\n'])
async def test_a_stream_of_junk_is_a_bad_response(
    provider: Canned, adapter: GeminiAdapter, junk: str
) -> None:
    provider.streams(piece({"text": "Fi"}), junk)
    failed = await failure(adapter, [])
    assert failed.kind is FailureKind.BAD_RESPONSE, failed.message


async def test_silence_is_a_timeout(
    provider: Canned, adapter: GeminiAdapter, told: list[Delta] | None
) -> None:
    if told is None:
        provider.body, provider.headers = b"{", {"content-length": "9"}
    else:
        provider.streams(piece({"text": "Fi"}))
    provider.holds = True
    began = time.monotonic()
    failed = await failure(adapter, told, timeout=0.3)
    assert failed.kind is FailureKind.TIMEOUT, failed.message
    assert time.monotonic() - began < 5
    assert len(provider.heard) == 1


async def test_a_closed_port_is_unreachable_so_nothing_is_charged() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        async with opened("http://{}:{}".format(*probe.getsockname())) as adapter:
            failed = await failure(adapter)
    assert failed.kind is FailureKind.UNREACHABLE, failed.message


async def test_a_host_that_never_shakes_hands_is_unreachable_after_the_connect_timeout(
    full_port: str,
) -> None:
    began = time.monotonic()
    async with opened(full_port, connect=0.3) as adapter:
        failed = await failure(adapter, timeout=20)
    assert failed.kind is FailureKind.UNREACHABLE, failed.message
    assert time.monotonic() - began < 5


async def test_a_server_that_closes_without_a_word_may_have_billed(
    told: list[Delta] | None,
) -> None:
    calls = 0

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    url = "http://{}:{}".format(*server.sockets[0].getsockname())
    async with server, opened(url) as adapter:
        failed = await failure(adapter, told)
    assert failed.kind is FailureKind.CONNECTION, failed.message
    assert calls == 1, "the client has no retry of its own"
