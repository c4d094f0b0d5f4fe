"""Any stream is heard to its end: what a connection may do on the way, by Anthropic's wire."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, FinishReason
from tests.adapters.anthropic_calls import call, failure, opened
from tests.adapters.anthropic_messages import START, STOP, TALK, closes, grows, opens, streamed

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nrequest-id: req_1\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def writing(write: Write) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers by writing itself; its URL, and the first line of each request."""
    heard: list[str] = []
    writing: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writing.add(asyncio.current_task())
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
        try:
            await write(writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield "http://{}:{}".format(*server.sockets[0].getsockname()[:2]), heard
        for task in writing:
            assert task
            task.cancel()
        await asyncio.gather(*(task for task in writing if task), return_exceptions=True)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def test_a_connection_that_breaks_amid_a_stream_may_have_been_billed() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(streamed(*TALK[:4])) + b"ff\r\n")
        await writer.drain()

    async with writing(write) as (url, heard), opened(url) as adapter:
        told: list[Delta] = []
        refused = await failure(adapter, told=told)
    assert refused.kind is FailureKind.CONNECTION, refused.message
    assert [delta.text for delta in told] == ["Fi"]
    assert len(heard) == 1


async def test_a_stream_that_only_drips_ends_with_its_time() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(streamed(*TALK[:4])))
        while not writer.is_closing():
            writer.write(chunk(streamed({"type": "ping"})))
            await writer.drain()
            await asyncio.sleep(0.05)

    async with writing(write) as (url, _), opened(url) as adapter:
        began = time.monotonic()
        refused = await failure(adapter, timeout=0.4, told=[])
    assert refused.kind is FailureKind.TIMEOUT, refused.message
    assert refused.provider_request_id == "req_1"
    assert time.monotonic() - began < 5


async def test_silence_amid_a_stream_is_a_timeout() -> None:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(streamed(*TALK[:4])))
        await writer.drain()
        await asyncio.sleep(30)

    async with writing(write) as (url, _), opened(url) as adapter:
        refused = await failure(adapter, timeout=0.3, told=[])
    assert refused.kind is FailureKind.TIMEOUT, refused.message


@pytest.mark.parametrize("silence", [0.0, 30.0])
async def test_after_the_last_event_the_answer_is_whole_however_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch, silence: float
) -> None:
    monkeypatch.setattr("worker.adapters.listening.LAST_BYTES", 0.1)

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(streamed(*TALK)) + b"ff\r\n")
        await writer.drain()
        await asyncio.sleep(silence)

    async with writing(write) as (url, _), opened(url) as adapter:
        began = time.monotonic()
        assert (await call(adapter, told=[])).result.content == "Fine."
    assert time.monotonic() - began < 2


async def test_a_connection_serves_one_stream_after_the_other() -> None:
    served: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(0)
        with_end = chunk(streamed(START, opens(0, {"type": "text", "text": ""})))
        with_end += chunk(streamed(grows(0, text="Fine."), closes("end_turn"), STOP))
        try:
            while True:
                await reader.readuntil(b'"stream":true}')
                served[-1] += 1
                writer.write(CHUNKED + with_end + chunk(b""))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, opened(f"http://127.0.0.1:{port}") as adapter:
        for _ in range(3):
            assert (await call(adapter, told=[])).result.finish_reason is FinishReason.STOP
    assert served == [3]
