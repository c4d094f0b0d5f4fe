"""A streamed reply is heard to its end, and each piece is told as it comes."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, Protocol

import httpx2
import orjson

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, GenerationResult
from worker.adapters.base import CallError, Told, WireError
from worker.adapters.sse import EVENTS, EventParser
from worker.adapters.transport import EVENT_BYTES, connection_error

LAST_BYTES: Final = 1.0
"""Seconds to wait, after the last event, for the end that lets the connection be used again."""
NO_EVENT: Final = b"[DONE]"
"""What OpenAI's chat says after its last event."""
BROKEN: Final = (httpx2.RequestError, httpx2.StreamError)
"""What a client's stream raises as it is, however the official client wraps it elsewhere."""


class Assembler(Protocol):
    """Puts the events of one stream together."""

    @property
    def ended(self) -> bool:
        """The event came that says that nothing is missing."""
        ...

    def eat(self, event: Any) -> Iterable[Delta]:
        """What is new in an event. Raises WireError, or CallError for a failure that it tells."""
        ...

    def result(self) -> GenerationResult:
        """The whole answer. Raises WireError when it is none."""
        ...


async def listen(
    response: httpx2.Response, assembler: Assembler, told: Told, *, began: float, timeout: float
) -> GenerationResult:
    """The whole answer, with the time to its first piece.

    `began`: when the call did, by time.monotonic(). `timeout`: seconds for the whole call.
    Raises CallError, and WireError for what is no answer.
    """
    ear = _Ear(assembler, told, began)
    try:
        async with asyncio.timeout(timeout - (time.monotonic() - began)) as patience:
            async for chunk in response.aiter_bytes():
                ended = assembler.ended
                ear.hear(chunk)
                if assembler.ended and not ended:
                    soon = asyncio.get_running_loop().time() + LAST_BYTES
                    patience.reschedule(min(soon, patience.when() or soon))
    # Once the answer is whole, it does not matter how the connection ends.
    except TimeoutError:
        if not assembler.ended:
            message = f"the answer was not whole within {timeout:g} seconds"
            raise CallError(FailureKind.TIMEOUT, message) from None
    except BROKEN as error:
        if not assembler.ended:
            raise connection_error(error) from None
    if not assembler.ended:
        raise _cut(response.headers.get("content-type", EVENTS))
    return replace(assembler.result(), first_token_ms=ear.first_token_ms)


def _cut(kind: str) -> CallError | WireError:
    """What it means that a reply of this content type has ended before the answer did."""
    if EVENTS in kind:
        return CallError(FailureKind.CONNECTION, "the stream ended before the answer did")
    return WireError(f"the reply is no stream of events ({kind[:40]})")


class _Ear:
    """Takes the bytes apart and tells the pieces."""

    def __init__(self, assembler: Assembler, told: Told, began: float) -> None:
        self._parser = EventParser(EVENT_BYTES)
        self._assembler = assembler
        self._told = told
        self._began = began
        self.first_token_ms: int | None = None

    def hear(self, chunk: bytes) -> None:
        for data in filter(NO_EVENT.__ne__, self._parser.feed(chunk)):
            try:
                self._hear_event(data)
            except (CallError, WireError) as error:
                if self._assembler.ended:
                    return  # the answer is whole, whatever is said after it
                if isinstance(error, CallError):
                    error.perhaps_billed = True
                raise

    def _hear_event(self, data: bytes) -> None:
        for delta in self._assembler.eat(_json(data)):
            if self.first_token_ms is None:
                self.first_token_ms = round((time.monotonic() - self._began) * 1000)
            self._told(delta)


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        message = f"an event of the stream is not JSON ({error})"
        raise WireError(message) from None
