"""The egress guard: nobody reaches inside through a URL that a caller names."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from shared.security.addresses import is_public
from shared.security.egress import (
    Egress,
    EgressError,
    UnreachableError,
    check_url,
    looks_public,
)

PIXEL = b"\x89PNG" + bytes(100)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """A server on this machine, as a caller would like to reach it."""
    app = web.Application()

    async def image(_: web.Request) -> web.Response:
        return web.Response(body=PIXEL, content_type="image/png")

    async def away(_: web.Request) -> web.Response:
        raise web.HTTPFound("/image")

    async def status(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]))

    app.add_routes(
        [web.get("/image", image), web.get("/away", away), web.get("/status/{status}", status)]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    port = unused_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
        "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::",
        "::127.0.0.1", "::ffff:0:127.0.0.1", "fec0::1", "192.88.99.1", "64:ff9b:1::a9fe:a9fe",
        "192.0.0.192", "168.63.129.16", "100.100.100.200", "ff02::1", "2001:db8::1", "3fff::1",
        "5f00::1", "2001:20::1", "fd00:ec2::254",
    ],
)  # fmt: skip
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/a", "https://"),
        ("file:///etc/passwd", "https://"),
        ("http://example.org/a.png", "https://"),
        ("https:///a.png", "names no host"),
        ("https://me:secret@example.org/", "a password"),
        ("https://example.org:port/", "not a URL"),
        ("https://example.org:8443/", "port must be 443"),
    ],
)
def test_what_is_no_url_of_ours_is_told_why(url: str, why: str) -> None:
    with pytest.raises(EgressError, match=why):
        check_url(url)


async def test_in_development_this_machine_is_called(server: str) -> None:
    async with Egress(allow_loopback=True) as egress:
        found = await egress.fetch(f"{server}/image", most_bytes=1000, seconds=5)
        assert (found.media_type, found.data) == ("image/png", PIXEL)
        assert found.as_url().startswith("data:image/png;base64,iVBORw")


@pytest.mark.parametrize(
    ("path", "error", "why"),
    [
        ("/away", EgressError, "status 302"),
        ("/status/404", EgressError, "status 404"),
        ("/status/503", UnreachableError, "status 503"),
        ("/status/429", UnreachableError, "status 429"),
    ],
)
async def test_what_does_not_give_the_document_is_told_apart(
    server: str, path: str, error: type[Exception], why: str
) -> None:
    async with Egress(allow_loopback=True) as egress:
        with pytest.raises(error, match=why):
            await egress.fetch(server + path, most_bytes=1000, seconds=5)


async def test_a_document_without_end_is_broken_off(server: str) -> None:
    async with Egress(allow_loopback=True) as egress:
        with pytest.raises(EgressError, match="larger than 10 bytes"):
            await egress.fetch(f"{server}/image", most_bytes=10, seconds=5)


@pytest.mark.parametrize("host", ["a..b", ".example.invalid", "a" * 64 + ".example"])
async def test_a_name_that_is_none_is_told(host: str) -> None:
    async with Egress() as egress:
        with pytest.raises(EgressError, match="not a URL"):
            await egress.fetch(f"https://{host}/x", most_bytes=10, seconds=5)


async def test_a_private_network_is_closed_in_development_too() -> None:
    async with Egress(allow_loopback=True) as egress:
        with pytest.raises(EgressError, match="public internet"):
            await egress.fetch("http://10.0.0.1/image", most_bytes=10, seconds=5)


class Heard:
    """What is told of a fetch."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []

    def expect(self, size: int) -> None:
        self.said.append(("expect", size))

    def came(self, size: int) -> None:
        self.said.append(("came", size))

    def ended(self) -> None:
        self.said.append(("ended", 0))


async def test_who_fetches_hears_how_much_is_to_come(server: str) -> None:
    heard, size = Heard(), len(PIXEL)
    async with Egress(allow_loopback=True) as egress:
        await egress.fetch(f"{server}/image", most_bytes=1000, seconds=5, progress=heard)
    assert heard.said == [("expect", size), ("came", size), ("ended", 0)]


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://api.openai.com/v1", True), ("https://1.1.1.1/v1", True),
        ("http://api.openai.com/v1", False), ("https://10.0.0.7/v1", False),
        ("https://[::1]/v1", False), ("http://localhost:11434", False), ("https://vllm/v1", False),
        ("https://llm.lan/v1", False), ("https://vllm.models.svc.", False), ("https://[a", False),
        ("", False),
    ],
)  # fmt: skip
def test_an_address_inside_does_not_look_public(url: str, *, public: bool) -> None:
    assert looks_public(url) is public
