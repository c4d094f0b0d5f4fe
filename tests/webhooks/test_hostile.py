"""A receiver that means ill gets one signed message and nothing more."""

import asyncio
import ssl
import subprocess
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import web

from tests.webhooks.conftest import Answer, Post, Receiver, receiver, says

TEN_GIGABYTES = 10 * 1024**3
BLOCK = bytes(1024 * 1024)


async def test_a_redirect_is_a_failure_wherever_it_leads(post: Post, hook: Receiver) -> None:
    hook.answer = says(307, Location="http://169.254.169.254/latest/meta-data/")
    await post.endpoint(hook.url)
    await post.tell()
    async with post.delivering():
        [tried] = await post.tried(1)
    assert (tried.status, tried.error) == (307, "it answered with status 307")
    assert len(hook.got) == 1
    assert await post.states() == ["pending"]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_without_end_is_not_read_to_its_end(
    post: Post, hook: Receiver, encoding: str
) -> None:
    sent, cut = 0, asyncio.Event()

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        headers = {"Content-Length": str(TEN_GIGABYTES), "Content-Encoding": encoding}
        reply = web.StreamResponse(headers=headers)
        await reply.prepare(request)
        try:
            while sent < TEN_GIGABYTES:
                await reply.write(BLOCK)
                sent += len(BLOCK)
        finally:
            cut.set()
        return reply

    hook.answer = pour
    await post.endpoint(hook.url)
    await post.tell()
    began = monotonic()
    async with post.delivering():
        [tried] = await post.tried(1)
        await asyncio.wait_for(cut.wait(), 10)
    assert (tried.status, tried.error) == (200, None), "it said that it has it"
    assert sent < 50 * len(BLOCK), "what the sockets hold, and no more"
    assert monotonic() - began < 15
    assert await post.states() == ["delivered"]


async def drip(request: web.Request) -> web.StreamResponse:
    """An answer that comes a byte at a time, for ever, and never gets to its status."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not request.transport.is_closing():
        request.transport.write(b"x")
        await asyncio.sleep(0.05)
    return web.Response()


async def hang(_: web.Request) -> web.StreamResponse:
    """An answer that never begins."""
    await asyncio.sleep(60)
    return web.Response()


@pytest.mark.parametrize("answer", [drip, hang])
async def test_an_answer_that_takes_for_ever_is_broken_off(
    post: Post, hook: Receiver, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr("worker.delivery.deliverer.TRY_SECONDS", 0.5)
    hook.answer = answer
    await post.endpoint(hook.url)
    await post.tell()
    async with post.delivering():
        [tried] = await post.tried(1)
    assert tried.status is None
    assert tried.error.startswith("it broke off")
    assert tried.milliseconds >= 400
    assert await post.states() == ["pending"]


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """What a server has that vouches for itself alone."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*command.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return context


async def test_a_certificate_that_nobody_vouches_for_is_not_believed(
    post: Post, tls: ssl.SSLContext
) -> None:
    async with receiver(tls=tls) as hook:
        await post.endpoint(hook.url)
        await post.tell()
        async with post.delivering():
            [tried] = await post.tried(1)
    assert (tried.status, tried.error) == (None, "its TLS certificate could not be verified")
    assert hook.got == []


async def test_what_speaks_no_tls_gets_nothing_in_the_clear(post: Post, hook: Receiver) -> None:
    await post.endpoint(hook.url.replace("http://", "https://"))
    await post.tell()
    async with post.delivering():
        [tried] = await post.tried(1)
    assert (tried.status, tried.error) == (None, "no TLS could be agreed on with it")
    assert hook.got == []


async def test_this_machine_is_told_nothing_outside_of_development(
    post: Post, hook: Receiver
) -> None:
    await post.endpoint(hook.url.replace("http://", "https://"))
    await post.endpoint("https://169.254.169.254/latest/meta-data/")
    await post.endpoint("https://127.0.0.1/hook")
    await post.tell()
    async with post.delivering(allow_loopback=False):
        tries = await post.tried(3)
    assert hook.got == []
    assert sorted(each.error for each in tries) == [
        "its address is not on the public internet",
        "its address is not on the public internet",
        "its port must be 443",
    ]
