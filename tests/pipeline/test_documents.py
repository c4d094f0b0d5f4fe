"""Documents by URL: fetched through the guard, within bounds, where the provider shall not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from shared.catalog.deployments import Provider
from shared.catalog.load import load_catalog
from shared.domain.conversation import FilePart, ImagePart, Message, Part, Role, TextPart
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest
from shared.security.egress import Egress
from worker.adapters.base import CallError
from worker.pipeline.documents import Bounds, Documents, fetches_urls, shown

INLINE = "data:image/png;base64,AAAA"
OPENAI = Provider(id="p", adapter="openai", base_url="https://api.openai.com/v1", fetches_urls=True)
GEMINI = replace(OPENAI, adapter="gemini")
SMALL = Bounds(document_bytes=100, request_bytes=150, process_bytes=200, requests_of_host=2)


@dataclass
class Site:
    """A site with pictures, and what was asked of it."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    inside: int = 0
    most_inside: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            if request.path.startswith("/slow"):
                await self.gate.wait()
        finally:
            self.inside -= 1
        status = 503 if request.path == "/broken" else 200
        size = int(request.query.get("size", 3))
        return web.Response(
            body=b"\x01\x02\x03"[:size].ljust(size), status=status, content_type="image/png"
        )


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = Site(f"http://127.0.0.1:{(port := unused_port())}")
    app = web.Application()
    app.add_routes([web.get("/{path}", found.serve)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield found
    found.gate.set()
    await runner.cleanup()


@asynccontextmanager
async def library(bounds: Bounds = Bounds(), *, loopback: bool = True) -> AsyncIterator[Documents]:  # noqa: B008 - it is frozen
    async with Egress(allow_loopback=loopback) as egress:
        yield Documents(egress, bounds)


def request(*parts: Part) -> GenerationRequest:
    said = Message(role=Role.USER, content=(TextPart(text="What is it?"), *parts))
    return GenerationRequest(
        model="m", messages=(Message(role=Role.SYSTEM, content="Be brief."), said)
    )


def pictures(*urls: str) -> GenerationRequest:
    return request(*(ImagePart(url=url) for url in urls))


async def failure(documents: Documents, asked: GenerationRequest, seconds: float = 10) -> CallError:
    with pytest.raises(CallError) as failed:
        async with documents.sent(asked, GEMINI, seconds):
            pass
    return failed.value


async def test_a_wire_that_wants_bytes_gets_each_document_once(site: Site) -> None:
    parts = (
        ImagePart(url=f"{site.url}/a"),
        ImagePart(url=f"{site.url}/a", detail="low"),
        ImagePart(url=INLINE),
    )
    async with library() as documents, documents.sent(request(*parts), GEMINI, 10) as got:
        said = got.messages[1].parts
    data = "data:image/png;base64,AQID"
    assert said[1:] == (
        ImagePart(url=data),
        ImagePart(url=data, detail="low"),
        ImagePart(url=INLINE),
    )
    assert site.asked == ["/a"]
    assert got.messages[0] == request().messages[0]


@pytest.mark.parametrize(
    ("provider", "kind", "fetched"),
    [
        (OPENAI, ImagePart, False),
        (OPENAI, FilePart, True),
        (replace(OPENAI, adapter="anthropic"), FilePart, False),
        (GEMINI, FilePart, True),
        (replace(OPENAI, fetches_urls=False), ImagePart, True),
        (replace(OPENAI, base_url="https://llm.lan/v1"), ImagePart, True),
        (replace(OPENAI, adapter="anthropic", base_url="http://10.0.0.7:8000"), FilePart, True),
    ],
)
async def test_a_server_inside_is_never_sent_an_address_to_fetch(
    site: Site, provider: Provider, kind: type[ImagePart | FilePart], *, fetched: bool
) -> None:
    asked = request(kind(url=f"{site.url}/a"))
    async with library() as documents, documents.sent(asked, provider, 10) as got:
        assert (got == asked) is not fetched
    assert bool(site.asked) is fetched


def test_of_the_catalog_only_public_services_fetch() -> None:
    rows = load_catalog(simulator_url="http://127.0.0.1:9").providers
    wanting = {row.id for row in rows.values() if not fetches_urls(row)}
    # Azure's address is the operator's: until it is known, nobody may be asked to fetch.
    assert wanting <= {"gemini", "vertex", "azure"}
    assert not fetches_urls(
        Provider(id="ours", adapter="openai", base_url="https://llm.example.com")
    )


@pytest.mark.parametrize(
    ("path", "allowed", "kind", "why"),
    [
        ("/broken?key=secret#secret", True, FailureKind.UNFETCHED, "/broken: it answered"),
        ("/a?secret", False, FailureKind.BAD_REQUEST, "https://"),
    ],
)  # fmt: skip
async def test_what_cannot_be_had_is_told_by_its_address(
    site: Site, path: str, kind: FailureKind, why: str, *, allowed: bool
) -> None:
    async with library(loopback=allowed) as documents:
        failed = await failure(documents, pictures(site.url + path))
    assert failed.kind is kind
    assert why in failed.message
    assert "secret" not in failed.message


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://me:pass@a.example:8443/x?key=1#part", "https://a.example:8443/x"),
        ("https://[::1]:7/x", "https://[::1]:7/x"),
        ("https://a.example:port/", "a URL"),
        ("https://[a", "a URL"),
    ],
)
def test_an_address_is_told_without_what_may_be_secret(url: str, told: str) -> None:
    assert shown(url) == told


async def test_documents_are_together_no_larger_than_a_request_may_be(site: Site) -> None:
    async with library(SMALL) as documents:
        async with documents.sent(pictures(f"{site.url}/a?size=100"), GEMINI, 10) as got:
            assert got.messages
        one = await failure(documents, pictures(f"{site.url}/a?size=101"))
        both = await failure(documents, pictures(*(f"{site.url}/{n}?size=90" for n in "ab")))
        assert (
            await failure(documents, pictures(*(f"https://a.example/{n}" for n in range(51))))
        ).kind is FailureKind.TOO_LARGE
    assert (one.kind, both.kind) == (FailureKind.BAD_REQUEST, FailureKind.TOO_LARGE)
    assert "larger than 100 bytes" in one.message
    assert "larger than 150 bytes" in both.message


async def test_what_is_fetched_waits_for_memory_until_others_have_been_sent(site: Site) -> None:
    async with library(SMALL) as documents:
        large = pictures(*(f"{site.url}/{n}?size=60" for n in "ab"))
        async with documents.sent(large, GEMINI, 10):
            late = await failure(documents, pictures(f"{site.url}/c"), seconds=0.2)
            assert late.kind is FailureKind.UNFETCHED
            assert "/c" not in site.asked
        async with documents.sent(pictures(f"{site.url}/c"), GEMINI, 10) as got:
            assert got.messages


async def test_small_documents_leave_their_memory_to_others_at_once(site: Site) -> None:
    first, second = pictures(f"{site.url}/a"), pictures(f"{site.url}/b")
    async with (
        library(replace(SMALL, process_bytes=150)) as documents,
        documents.sent(first, GEMINI, 10),
        documents.sent(second, GEMINI, 10) as got,
    ):
        assert got != second


async def test_one_host_gets_few_requests_at_once_and_holds_up_no_other(site: Site) -> None:
    bounds = replace(SMALL, process_bytes=1000)
    other = site.url.replace("127.0.0.1", "localhost")
    async with library(bounds) as documents:

        async def fetch(number: int) -> None:
            async with documents.sent(pictures(f"{site.url}/slow{number}"), GEMINI, 10):
                pass

        slow = [asyncio.create_task(fetch(number)) for number in range(5)]
        async with documents.sent(pictures(f"{other}/quick"), GEMINI, 10):
            pass
        async with asyncio.timeout(5):
            while site.inside < 2:
                await asyncio.sleep(0.01)
        site.gate.set()
        await asyncio.gather(*slow)
    assert site.most_inside <= 3, "two of the slow ones, and the quick one"
    assert len(site.asked) == 6


async def test_the_first_that_fails_ends_its_siblings(site: Site) -> None:
    async with library() as documents:
        failed = await failure(documents, pictures(f"{site.url}/broken", f"{site.url}/slow"))
        assert failed.kind is FailureKind.UNFETCHED
        async with documents.sent(pictures(f"{site.url}/a"), GEMINI, 10) as got:
            assert got.messages
