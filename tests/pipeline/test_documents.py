"""Documents by URL: fetched through the guard where the provider wants bytes, and there only."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from shared.domain.conversation import FilePart, ImagePart, Message, Part, Role, TextPart
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest
from shared.security.egress import Egress
from worker.adapters.base import CallError
from worker.pipeline.documents import with_bytes

INLINE = "data:image/png;base64,AAAA"


@pytest.fixture
async def site() -> AsyncIterator[tuple[str, list[str]]]:
    """A site with a picture, and the paths that were asked for."""
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.path)
        status = 503 if request.path == "/broken" else 200
        return web.Response(body=b"\x01\x02\x03", content_type="image/png", status=status)

    app = web.Application()
    app.add_routes([web.get("/{path}", serve)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = unused_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}", asked
    await runner.cleanup()


def request(*parts: Part) -> GenerationRequest:
    said = Message(role=Role.USER, content=(TextPart(text="What is it?"), *parts))
    return GenerationRequest(
        model="m", messages=(Message(role=Role.SYSTEM, content="Be brief."), said)
    )


async def test_a_wire_that_wants_bytes_gets_each_document_once(site: tuple[str, list[str]]) -> None:
    url, asked = site
    parts = (
        ImagePart(url=f"{url}/a"),
        ImagePart(url=f"{url}/a", detail="low"),
        ImagePart(url=INLINE),
    )
    async with Egress(allow_loopback=True) as egress:
        got = await with_bytes(request(*parts), "gemini", egress, 10)
    said = got.messages[1].parts
    data = "data:image/png;base64,AQID"
    assert said[1:] == (
        ImagePart(url=data),
        ImagePart(url=data, detail="low"),
        ImagePart(url=INLINE),
    )
    assert asked == ["/a"]
    assert got.messages[0] == request().messages[0]


@pytest.mark.parametrize(
    ("wire", "kind", "fetched"),
    [
        ("openai", ImagePart, False), ("openai", FilePart, True), ("anthropic", FilePart, False),
        ("gemini", FilePart, True),
    ],
)  # fmt: skip
async def test_only_what_the_provider_cannot_fetch_itself_is_fetched(
    site: tuple[str, list[str]],
    wire: str,
    kind: type[ImagePart | FilePart],
    fetched: bool,  # noqa: FBT001 - the case
) -> None:
    url, asked = site
    async with Egress(allow_loopback=True) as egress:
        await with_bytes(request(kind(url=f"{url}/a")), wire, egress, 10)
    assert bool(asked) is fetched


@pytest.mark.parametrize(
    ("path", "allowed", "kind", "why"),
    [
        ("/broken?key=secret", True, FailureKind.UNFETCHED, "/broken: it answered with status 503"),
        ("/a", False, FailureKind.BAD_REQUEST, "https://"),
    ],
)
async def test_what_cannot_be_had_is_told_by_its_address(
    site: tuple[str, list[str]],
    path: str,
    allowed: bool,  # noqa: FBT001 - the case
    kind: FailureKind,
    why: str,
) -> None:
    async with Egress(allow_loopback=allowed) as egress:
        with pytest.raises(CallError, match=why) as failed:
            await with_bytes(request(ImagePart(url=site[0] + path)), "gemini", egress, 10)
    assert failed.value.kind is kind
    assert "secret" not in failed.value.message
