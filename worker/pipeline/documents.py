"""Images and files that a caller gave by URL, for providers that must not or cannot fetch them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from shared.catalog.deployments import Provider
from shared.domain.conversation import FilePart, ImagePart, Message, Part
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest
from shared.security.egress import Egress, EgressError, UnreachableError, looks_public
from worker.adapters.base import CallError
from worker.pipeline.room import Room

ALL: Final[tuple[type[Part], ...]] = (ImagePart, FilePart)
WANTS_BYTES: Final[dict[str, tuple[type[Part], ...]]] = {
    "gemini": ALL,
    "vertex": ALL,
    "openai": (FilePart,),
    "azure": (FilePart,),
}
"""By wire, of providers that fetch the rest themselves."""
FETCHED: Final = ("https://", "http://")
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is fetched, and how much of it at once."""

    document_bytes: int = 20 * MIB
    request_bytes: int = 32 * MIB
    """Of all documents of one request together."""
    process_bytes: int = 128 * MIB
    """Of all requests that are fetched for or on their way; in memory it is two to three times
    as much."""
    documents: int = 50
    """Of one request."""
    at_once: int = 4
    """Of one request."""
    requests_of_host: int = 4
    """That fetch from one host, of one process."""
    seconds: float = 30.0
    """For one document."""


BOUNDS: Final = Bounds()


class Documents:
    """Fetches through the egress guard, within bounds; lives on one event loop."""

    def __init__(self, egress: Egress, bounds: Bounds = BOUNDS) -> None:
        self._egress = egress
        self._bounds = bounds
        self._room = Room(bounds.process_bytes)
        self._doors: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def sent(
        self, request: GenerationRequest, provider: Provider, seconds: float
    ) -> AsyncIterator[GenerationRequest]:
        """The request as this provider takes it; its documents are in memory while it lasts.

        Raises CallError for what cannot be fetched within the bounds and in time.
        """
        urls = _to_fetch(request, provider)
        if not urls:
            yield request
            return
        if len(urls) > self._bounds.documents:
            message = f"messages: more than {self._bounds.documents} documents are to be fetched"
            raise CallError(FailureKind.TOO_LARGE, message)
        try:
            async with asyncio.timeout(seconds):
                share, found = await self._fetched(urls)
        except TimeoutError:
            message = "the documents that the request names did not come in time"
            raise CallError(FailureKind.UNFETCHED, message) from None
        try:
            yield replace(
                request, messages=tuple(_filled(each, found) for each in request.messages)
            )
        finally:
            share.close()

    async def _fetched(self, urls: Sequence[str]) -> tuple["_Share", dict[str, str]]:
        """The documents, and the memory that is set aside for them.

        The doors come first, in one order for all: who has memory waits for nobody.
        """
        async with AsyncExitStack() as doors:
            for host in sorted({_host(url) for url in urls}):
                await doors.enter_async_context(self._door(host))
            share = _Share(self._room, self._bounds, urls)
            await share.open()
            try:
                turn = asyncio.Semaphore(self._bounds.at_once)
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._fetch(url, share, turn)) for url in urls]
            except BaseExceptionGroup as failed:
                share.close()
                raise failed.exceptions[0] from None
            except BaseException:
                share.close()
                raise
        return share, {url: task.result() for url, task in zip(urls, tasks, strict=True)}

    def _door(self, host: str) -> asyncio.Semaphore:
        """Lets some requests at once to this host; kept while somebody is there."""
        door = self._doors.get(host)
        if door is None:
            door = self._doors[host] = asyncio.Semaphore(self._bounds.requests_of_host)
        return door

    async def _fetch(self, url: str, share: "_Share", turn: asyncio.Semaphore) -> str:
        try:
            async with turn:
                found = await self._egress.fetch(
                    url,
                    most_bytes=self._bounds.document_bytes,
                    seconds=self._bounds.seconds,
                    progress=share.of(url),
                )
        except EgressError as error:
            raise CallError(FailureKind.BAD_REQUEST, f"{shown(url)}: {error}") from None
        except UnreachableError as error:
            raise CallError(FailureKind.UNFETCHED, f"{shown(url)}: {error}") from None
        return found.as_url()


class _Share:
    """What one request may hold of the memory: at first for the worst, then for what comes."""

    def __init__(self, room: Room, bounds: Bounds, urls: Sequence[str]) -> None:
        self._room = room
        self._bounds = bounds
        self._expected = dict.fromkeys(urls, bounds.document_bytes)
        self._came = dict.fromkeys(urls, 0)
        self._held = 0

    async def open(self) -> None:
        """Wait until there is memory for all of it."""
        needed = min(self._needed(), self._room.size)
        await self._room.take(needed)
        self._held = needed

    def of(self, url: str) -> "_Progress":
        """What the fetch of one document tells."""
        return _Progress(self, url)

    def expect(self, url: str, size: int) -> None:
        """A document turns out to have so many bytes at most: the rest is for others."""
        self._expected[url] = min(size, self._expected[url])
        kept = min(self._needed(), self._held)
        self._room.give(self._held - kept)
        self._held = kept

    def add(self, url: str, size: int) -> None:
        """So many bytes came. Raises CallError when all documents together are too large."""
        self._came[url] += size
        if sum(self._came.values()) > self._bounds.request_bytes:
            message = (
                "messages: the documents that are to be fetched are together larger than "
                f"{self._bounds.request_bytes} bytes"
            )
            raise CallError(FailureKind.TOO_LARGE, message)

    def end(self, url: str) -> None:
        """All of it came."""
        self.expect(url, self._came[url])

    def close(self) -> None:
        """The documents are gone."""
        self._room.give(self._held)
        self._held = 0

    def _needed(self) -> int:
        return min(sum(self._expected.values()), self._bounds.request_bytes)


@dataclass(frozen=True, slots=True)
class _Progress:
    """One document on its way; see `Progress` of the guard."""

    share: _Share
    url: str

    def expect(self, size: int) -> None:
        self.share.expect(self.url, size)

    def came(self, size: int) -> None:
        self.share.add(self.url, size)

    def ended(self) -> None:
        self.share.end(self.url)


def _to_fetch(request: GenerationRequest, provider: Provider) -> list[str]:
    """The URLs that this provider shall not see; each once."""
    kinds = WANTS_BYTES.get(provider.adapter, ()) if fetches_urls(provider) else ALL
    return sorted(
        {
            part.url
            for message in request.messages
            for part in message.parts
            if isinstance(part, (ImagePart, FilePart)) and isinstance(part, kinds)
            if part.url.startswith(FETCHED)
        }
    )


def fetches_urls(provider: Provider) -> bool:
    """Whether it may be sent a caller's URL: it then calls from where nothing is to be reached.

    A server inside, which the caller cannot reach, would reach its neighbours for the caller.
    """
    outside = provider.fetches_urls and looks_public(provider.base_url or "")
    return provider.rehearsal or outside


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


def _host(url: str) -> str:
    """Of what may be no URL at all."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def shown(url: str) -> str:
    """Its scheme, host and path: whatever else it holds may be a secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "a URL"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"[:200]
