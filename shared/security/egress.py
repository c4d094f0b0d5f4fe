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

ADDRESSES_IN_DISGUISE: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "::/96",
        "::ffff:0:0:0/96",
        "fec0::/10",
        "192.88.99.0/24",
    )
)
"""NAT64, 6to4, Teredo and the like: they lead to an IPv4 address that nobody looked at."""
NAMES_INSIDE: Final = (
    ".local", ".localhost", ".internal", ".intranet", ".lan", ".corp", ".home", ".home.arpa",
    ".svc", ".test", ".example", ".invalid",
)  # fmt: skip
"""Endings of names that no public server has."""
CHUNK: Final = 64 * 1024
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


def is_public(address: str) -> bool:
    """Whether an IP address, as text, lies on the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    disguised = any(ip.version == net.version and ip in net for net in ADDRESSES_IN_DISGUISE)
    return ip.is_global and not ip.is_multicast and not disguised


def check_url(url: str, *, plain_http: bool = False) -> None:
    """Raises EgressError for what is no URL of ours to call; the address is looked at later."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise EgressError("it is not a URL") from None
    if parts.scheme not in ({"https", "http"} if plain_http else {"https"}):
        raise EgressError("it must begin with https://")
    if not parts.hostname:
        raise EgressError("it names no host")
    if parts.username or parts.password:
        raise EgressError("it must not hold a user or a password")


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

    The address is checked when the socket is made, after the name was looked up: a name that
    leads elsewhere the second time gains nothing. Redirects are not followed.
    """

    def __init__(self, *, allow_loopback: bool = False, allow_private: bool = False) -> None:
        """`allow_loopback` is for development: this machine, and http beside https.

        `allow_private`: any address; only for what the operator, not a caller, names.
        """
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
    ) -> None:
        """POST some JSON. Raises EgressError or UnreachableError for any status but 2xx."""
        typed = {"content-type": "application/json", **headers}
        async with self._reply("POST", url, seconds, data=body, headers=typed) as reply:
            if not reply.ok or reply.status >= 300:
                raise _useless(reply)

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
            connector = aiohttp.TCPConnector(socket_factory=self._socket)
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
            raise DeniedAddressError("its address is not on the public internet")
        return socket.socket(family, kind, protocol)

    def _may_call(self, address: str) -> bool:
        loopback = ipaddress.ip_address(address.partition("%")[0]).is_loopback
        allowed = self._allow_private or (self._allow_loopback and loopback)
        return allowed or is_public(address)


class DeniedAddressError(OSError):
    """The guard's own refusal, told apart from what the network refuses."""


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
