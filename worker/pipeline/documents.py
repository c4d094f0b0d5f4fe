"""Images and files that a caller gave by URL, for providers that want the bytes."""

import asyncio
from dataclasses import replace
from typing import Final

from shared.domain.conversation import FilePart, ImagePart, Message, Part
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest
from shared.security.egress import Egress, EgressError, UnreachableError
from worker.adapters.base import CallError

WANTS_BYTES: Final[dict[str, tuple[type[Part], ...]]] = {
    "gemini": (ImagePart, FilePart),
    "openai": (FilePart,),
    "azure": (FilePart,),
}
"""By wire; what is not named here is fetched by the provider itself."""
MOST_BYTES: Final = 20 * 1024 * 1024
SECONDS: Final = 30.0
FETCHED: Final = ("https://", "http://")


async def with_bytes(
    request: GenerationRequest, wire: str, egress: Egress, seconds: float
) -> GenerationRequest:
    """The request as this wire takes it. Raises CallError for what cannot be fetched in time."""
    kinds = WANTS_BYTES.get(wire, ())
    wanted = {
        part.url
        for message in request.messages
        for part in message.parts
        if isinstance(part, (ImagePart, FilePart)) and isinstance(part, kinds)
        if part.url.startswith(FETCHED)
    }
    if not wanted:
        return request
    urls = sorted(wanted)
    data = await asyncio.gather(*(_fetch(url, egress, min(seconds, SECONDS)) for url in urls))
    found = dict(zip(urls, data, strict=True))
    return replace(request, messages=tuple(_filled(each, found) for each in request.messages))


def _filled(message: Message, found: dict[str, str]) -> Message:
    """The message with the documents in the place of their URLs."""
    if isinstance(message.content, str):
        return message
    parts = tuple(
        replace(part, url=found.get(part.url, part.url))
        if isinstance(part, (ImagePart, FilePart))
        else part
        for part in message.content
    )
    return replace(message, content=parts)


async def _fetch(url: str, egress: Egress, seconds: float) -> str:
    try:
        return (await egress.fetch(url, most_bytes=MOST_BYTES, seconds=seconds)).as_url()
    except EgressError as error:
        raise CallError(FailureKind.BAD_REQUEST, f"{_shown(url)}: {error}") from None
    except UnreachableError as error:
        raise CallError(FailureKind.UNFETCHED, f"{_shown(url)}: {error}") from None


def _shown(url: str) -> str:
    """Without its query, which may hold a secret."""
    return url.partition("?")[0][:200]
