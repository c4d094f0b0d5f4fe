"""The egress guard: what a caller names by URL is fetched from public addresses only."""

import ipaddress
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import aiohttp

from shared.security.addresses import DeniedAddressError, Resolver, is_public

NAMES_INSIDE: Final = (
    ".local", ".localhost", ".internal", ".intranet", ".lan", ".corp", ".home", ".home.arpa",
    ".svc", ".test", ".example", ".invalid",
)  # fmt: skip
"""Endings of names that no public server has."""
HTTPS_PORT: Final = 443
CHUNK: Final = 64 * 1024
CONNECTIONS: Final = 100
"""Open at one time; more calls than that wait for each other."""
AGENT: Final = "promptmill"


class EgressError(Exception):
    """The address may not be called, or what it gave may not be used: nothing will mend it."""


class UnreachableError(Exception):
    """The address may be called, and did not answer as it should: another time it may."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document and what its server says that it is."""

    media_type: str
    data: bytes

    def as_url(self) -> str:
        """`data:<media type>;base64,…`."""
        return f"data:{self.media_type};base64,{b64encode(self.data).decode()}"


@dataclass(frozen=True, slots=True)
class Answered:
    """How a server answered a POST."""

    status: int
    retry_after: str | None
    """The header as it came."""


def check_url(url: str, *, plain_http: bool = False) -> None:
    """Raises EgressError for what is no URL of ours to call; the address is looked at later.

    `plain_http`: http beside https, and any port beside 443.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EgressError("it is not a URL") from None
    if parts.scheme not in ({"https", "http"} if plain_http else {"https"}):
        raise EgressError("it must begin with https://")
    if not parts.hostname:
        raise EgressError("it names no host")
    if parts.username or parts.password:
        raise EgressError("it must not hold a user or a password")
    if port not in {None, HTTPS_PORT} and not plain_http:
        raise EgressError(f"its port must be {HTTPS_PORT}")


def is_loopback(url: str) -> bool:
    """Whether an address is this machine by its spelling alone."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def looks_public(url: str) -> bool:
    """Whether an address is one of the public internet by its spelling alone; nothing is asked."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        return is_public(host)
    except ValueError:
        inside = "." not in host or host.endswith(NAMES_INSIDE)
        return parts.scheme == "https" and not inside


class Progress(Protocol):
    """Hears how a document comes; what it raises ends the fetch."""

    def expect(self, size: int) -> None:
        """The server says that it has so many bytes."""
        ...

    def came(self, size: int) -> None:
        """So many bytes more came."""
        ...

    def ended(self) -> None:
        """It is whole."""
        ...


class Egress:
    """Opens connections to public addresses only; lives on one event loop.

    All addresses of a name are checked, and the one that is called again when its socket is made:
    a name that leads elsewhere the second time gains nothing. Redirects are not followed.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        allow_private: bool = False,
        connections: int = CONNECTIONS,
    ) -> None:
        """`allow_loopback` is for development: this machine, and http beside https.

        `allow_private`: any address; only for what the operator, not a caller, names.
        """
        self._connections = connections
        self._allow_loopback = allow_loopback
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def fetch(
        self, url: str, *, most_bytes: int, seconds: float, progress: Progress | None = None
    ) -> Fetched:
        """GET a document. Raises EgressError or UnreachableError, each told in a sentence."""
        async with self._reply("GET", url, seconds) as reply:
            if reply.status != 200:
                raise _useless(reply)
            return Fetched(reply.content_type, await _read(reply, most_bytes, progress))

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float
    ) -> Answered:
        """POST some JSON. Raises EgressError or UnreachableError where nothing answers.

        Of the answer's body nothing is read: more of it than a buffer holds never comes.
        """
        typed = {"content-type": "application/json", **headers}
        asked = {"data": body, "headers": typed, "auto_decompress": False}
        async with self._reply("POST", url, seconds, **asked) as reply:
            return Answered(reply.status, reply.headers.get("Retry-After"))

    @asynccontextmanager
    async def _reply(
        self, method: str, url: str, seconds: float, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """What a guarded call gives; whatever breaks in it is told in a sentence."""
        check_url(url, plain_http=self._allow_loopback or self._allow_private)
        patience = aiohttp.ClientTimeout(total=seconds)
        asked = {"timeout": patience, "allow_redirects": False, **more}
        try:
            async with self._open().request(method, url, **asked) as reply:
                yield reply
        except (aiohttp.InvalidURL, UnicodeError):
            raise EgressError("it is not a URL") from None
        except aiohttp.ClientConnectorCertificateError:
            raise UnreachableError("its TLS certificate could not be verified") from None
        except aiohttp.ClientSSLError:
            raise UnreachableError("no TLS could be agreed on with it") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, DeniedAddressError):
                raise EgressError(str(error.os_error)) from None
            raise UnreachableError("no connection could be opened") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnreachableError(f"it broke off ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        """The same."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                socket_factory=self._socket,
                resolver=Resolver(self._may_call),
                limit=self._connections,
            )
            headers = {"User-Agent": AGENT}
            # One caller's cookies are no business of the next one's.
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers=headers,
            )
        return self._session

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, place = address
        if not self._may_call(str(place[0])):
            raise DeniedAddressError
        return socket.socket(family, kind, protocol)

    def _may_call(self, address: str) -> bool:
        loopback = ipaddress.ip_address(address.partition("%")[0]).is_loopback
        allowed = self._allow_private or (self._allow_loopback and loopback)
        return allowed or is_public(address)


def _useless(reply: aiohttp.ClientResponse) -> EgressError | UnreachableError:
    """What will never be of use, or has a bad moment."""
    bad_moment = reply.status >= 500 or reply.status in {408, 429}
    kind = UnreachableError if bad_moment else EgressError
    return kind(f"it answered with status {reply.status}")


async def _read(reply: aiohttp.ClientResponse, most_bytes: int, progress: Progress | None) -> bytes:
    """The whole body. Raises EgressError when it is larger than allowed."""
    said = None if "Content-Encoding" in reply.headers else reply.content_length
    if said is not None and said > most_bytes:
        raise EgressError(f"it is larger than {most_bytes} bytes")
    if progress is not None and said is not None:
        progress.expect(said)
    data = bytearray()
    async for chunk in reply.content.iter_chunked(CHUNK):
        data += chunk
        if len(data) > most_bytes:
            raise EgressError(f"it is larger than {most_bytes} bytes")
        if progress is not None:
            progress.came(len(chunk))
    if progress is not None:
        progress.ended()
    return bytes(data)
