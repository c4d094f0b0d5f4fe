"""The connections below every official client, and what it means when one breaks."""

import ssl
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import aiohttp
import httpx2
import openai
from pydantic import SecretStr

from shared.domain.failure import FailureKind
from worker.adapters.base import CallError, WireError

KEY_FOR_KEYLESS: Final = "none"
"""Servers that want no key still get a header: the clients insist on one."""
REPLY_BYTES: Final = 64 * 1024 * 1024
"""Of a whole reply or stream, unpacked: some thousand long vectors, or an answer with pictures."""
COMPLAINT_BYTES: Final = 1024 * 1024
"""Of an error's reply; what follows is not read."""
EVENT_BYTES: Final = 16 * 1024 * 1024
"""Of one event of a stream: its last may hold the whole answer."""
PACKED: Final = "gzip"
"""The one encoding that is asked for, as it can be unpacked within bounds."""
GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
PIECE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Connections:
    """To one provider."""

    most: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of every request, beside what the wire wants."""


def key_for(key: SecretStr | None) -> str:
    """What the official clients take for a key."""
    return key.get_secret_value() if key else KEY_FOR_KEYLESS


def http_client(connections: Connections) -> httpx2.AsyncClient:
    """A client over aiohttp: half the CPU of the stock transport; made on the loop that uses it.

    Its replies are bounded: reading one that is too large raises WireError.
    """
    most = connections.most
    return openai.DefaultAioHttpClient(
        limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
        headers={**connections.headers, "Accept-Encoding": PACKED},
        verify=_trusted(),
        event_hooks={"response": [_bound]},
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Whom this machine trusts: read once, which takes 35 ms, and not for each provider."""
    return httpx2.create_ssl_context()


def connection_error(error: BaseException) -> CallError:
    """Tell apart what was never sent from what may have been billed."""
    cause = _cause_below_transport(error)
    match cause:
        case WireError():
            return CallError(FailureKind.BAD_RESPONSE, str(cause))
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return CallError(FailureKind.UNREACHABLE, f"no connection: {_name(cause)}")
        case TimeoutError():
            return CallError(FailureKind.TIMEOUT, "the provider did not answer in time")
        case _:
            return CallError(FailureKind.CONNECTION, f"the connection broke: {_name(cause)}")


async def _bound(response: httpx2.Response) -> None:
    """Called when the headers of a reply are there, before anybody reads on."""
    if not isinstance(response.stream, httpx2.AsyncByteStream):
        return
    packing = response.headers.pop("content-encoding", "identity").strip().lower()
    if response.is_error:
        response.stream = _Bounded(response.stream, packing, COMPLAINT_BYTES, cut=True)
    else:
        response.stream = _Bounded(response.stream, packing, REPLY_BYTES, cut=False)


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of a reply, unpacked, up to so many; then it is cut, or a WireError."""

    def __init__(
        self, stream: httpx2.AsyncByteStream, packing: str, most: int, *, cut: bool
    ) -> None:
        self._stream = stream
        self._packing = packing
        self._most = most
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpacked = self._unpacker()
        left = self._most
        async for chunk in self._stream:
            for piece in unpacked(chunk):
                left -= len(piece)
                if left < 0 and self._cut:
                    return
                if left < 0:
                    raise WireError(f"the reply is larger than {self._most} bytes")
                yield piece

    async def aclose(self) -> None:
        """Close the connection, or give it back."""
        await self._stream.aclose()

    def _unpacker(self) -> "_Unpacked | _Plain":
        if self._packing == "identity":
            return _Plain()
        if self._packing == PACKED:
            return _Unpacked()
        if self._cut:
            return _Plain()
        raise WireError(f"the reply is packed as {self._packing[:40]!r}, which nobody asked for")


class _Plain:
    """Bytes as they are."""

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Unpacked:
    """Bytes out of gzip, in pieces of bounded size. Raises WireError for what is none."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(GZIP_OR_ZLIB)

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk:
                if piece := self._inflater.decompress(chunk, PIECE):
                    yield piece
                chunk = self._inflater.unconsumed_tail
        except zlib.error as error:
            raise WireError(f"the reply cannot be unpacked ({error})") from None


def _cause_below_transport(error: BaseException) -> BaseException:
    """The word of aiohttp: the transport above it calls a dropped connection a timeout, too."""
    cause = error
    while not isinstance(cause, (aiohttp.ClientError, WireError)):
        below = cause.__cause__ or cause.__context__
        if below is None:
            break
        cause = below
    return cause


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
