"""OpenAI's official clients, kept to exactly one request per call, under every wire of theirs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final, Protocol, cast

import httpx2
import openai
import orjson
from openai import RequestOptions

from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, GenerationRequest, GenerationResult, RequestKind
from worker.adapters.base import Answer, CallError, Told, WireError
from worker.adapters.openai_errors import (
    CutStreamError,
    ToldError,
    classify,
    classify_told,
    message_of,
    told_error,
)
from worker.adapters.openai_usage import billed
from worker.adapters.refusals import retry_after
from worker.adapters.sse import EventParser
from worker.adapters.transport import connection_error

KEY_FOR_KEYLESS: Final = "none"
"""Servers that want no key still get a header: the client insists on one."""
DONE: Final = b"[DONE]"
DRAIN_SECONDS: Final = 0.1
MAX_MESSAGE: Final = 500


class Assembler(Protocol):
    """Makes one answer of the events of its stream."""

    @property
    def ended(self) -> bool:
        """Whether the last event was seen, on wires that have one."""
        ...

    def eat(self, event: Any) -> list[Delta]:
        """What an event adds. Raises WireError."""
        ...

    def result(self) -> GenerationResult:
        """The whole answer. Raises CutStreamError before its end, WireError if it is none."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of request is asked and answered."""

    path: str
    to_wire: Callable[[GenerationRequest, str], dict[str, Any]]
    from_wire: Callable[[Any, GenerationRequest], GenerationResult]
    """Raises WireError."""
    assembler: Callable[[], Assembler] | None = None
    """None: its answer comes whole only."""
    stream_options: Mapping[str, Any] | None = None


class Deaf:
    """Ears for its owner only, laid over an official client.

    That would put organization, project and any header of OPENAI_CUSTOM_HEADERS on the wire, a
    foreign key among them.
    """

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        """What every request says beside the key."""
        client = cast(openai.AsyncOpenAI, self)
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": client.user_agent,
            **client.platform_headers(),
        }


class FamilyAdapter:
    """One server that speaks a wire of the OpenAI family, under one key; see Adapter."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        forms: Mapping[RequestKind, Form],
        *,
        connect_timeout: float,
        clock: Clock,
    ) -> None:
        self._client = client
        self._forms = forms
        self._connect_timeout = connect_timeout
        self._clock = clock

    async def complete(
        self,
        request: GenerationRequest,
        *,
        model: str,
        attempt_id: str,
        timeout: float,
        told: Told | None = None,
    ) -> Answer:
        """One POST to the path of the request's kind; see Adapter.complete."""
        form = self._forms.get(request.kind)
        if form is None:
            message = f"this provider's wire has no requests of kind {request.kind}"
            raise CallError(FailureKind.BAD_REQUEST, message)
        body = form.to_wire(request, model)
        with self._in_our_words():
            async with asyncio.timeout(timeout):
                if told is None or form.assembler is None:
                    response = await self._post(form.path, body, attempt_id, timeout)
                    return _whole(response, form, request)
                body |= {"stream": True, **(form.stream_options or {})}
                ear = _Ear(told)
                response = await self._post(form.path, body, attempt_id, timeout, stream=True)
                try:
                    return await _streamed(response, form, request, ear)
                finally:
                    await response.aclose()

    async def check(self, *, timeout: float) -> None:
        """GET /models; see Adapter.check."""
        with self._in_our_words():
            async with asyncio.timeout(timeout):
                await self._client.get(
                    "/models", cast_to=httpx2.Response, options=self._options(timeout)
                )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _post(
        self,
        path: str,
        body: dict[str, Any],
        attempt_id: str,
        timeout: float,
        *,
        stream: bool = False,
    ) -> httpx2.Response:
        """The raw reply: half the CPU of the client's models, which are not made on the way."""
        options = self._options(timeout)
        options["headers"] = {"x-client-request-id": attempt_id}
        response = await self._client.post(
            path,
            cast_to=httpx2.Response,
            body=body,
            options=options,
            stream=stream,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast(httpx2.Response, response)

    def _options(self, timeout: float) -> RequestOptions:
        patience = httpx2.Timeout(timeout, connect=min(timeout, self._connect_timeout))
        # A redirect would be a second request, with the prompt, to who knows whom.
        return {"timeout": patience, "follow_redirects": False}

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Every way in which the client fails, as CallError."""
        try:
            yield
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except (openai.APIConnectionError, httpx2.RequestError) as error:
            raise connection_error(error) from None
        except TimeoutError:
            message = "the provider did not answer in time"
            raise CallError(FailureKind.TIMEOUT, message) from None

    def _refusal(self, error: openai.APIStatusError) -> CallError:
        headers = error.response.headers
        return CallError(
            classify(error.status_code, error.body),
            f"{error.status_code}: {message_of(error.body) or error.message}"[:MAX_MESSAGE],
            retry_after=retry_after(headers, self._clock.now()),
            provider_request_id=_request_id(headers),
        )


class _Ear:
    """Hears for the caller, and notes when the first piece came."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._began = monotonic()
        self.first_token_ms: int | None = None

    def __call__(self, delta: Delta) -> None:
        if self.first_token_ms is None:
            self.first_token_ms = round((monotonic() - self._began) * 1000)
        self._told(delta)


def _whole(response: httpx2.Response, form: Form, request: GenerationRequest) -> Answer:
    """The answer in one piece. Raises CallError."""
    body: Any = None
    try:
        body = orjson.loads(response.content)
        _raise_told(body)
        return Answer(form.from_wire(body, request), _request_id(response.headers))
    except (orjson.JSONDecodeError, WireError, ToldError) as error:
        raise _broken(error, response, body) from None


async def _streamed(
    response: httpx2.Response, form: Form, request: GenerationRequest, ear: _Ear
) -> Answer:
    """The answer in pieces, each told. Raises CallError."""
    if "json" in response.headers.get("content-type", "") or form.assembler is None:
        # The server does not stream: it is told in one piece.
        await response.aread()
        answer = _whole(response, form, request)
        ear(Delta(text=answer.result.content, refusal=answer.result.refusal or ""))
    else:
        assembler = form.assembler()
        try:
            await _read(response, assembler, ear)
            answer = Answer(assembler.result(), _request_id(response.headers))
        except (orjson.JSONDecodeError, WireError, ToldError) as error:
            raise _broken(error, response, None) from None
    result = replace(answer.result, first_token_ms=ear.first_token_ms)
    return replace(answer, result=result)


async def _read(response: httpx2.Response, assembler: Assembler, ear: _Ear) -> None:
    """Eat the events up to the last one."""
    parser = EventParser()
    chunks = response.aiter_bytes()
    async for chunk in chunks:
        if _is_last(parser.feed(chunk), assembler, ear):
            await _drain(chunks)
            break


def _is_last(events: list[bytes], assembler: Assembler, ear: _Ear) -> bool:
    """Eat some events; whether no more are to come."""
    for data in events:
        if data == DONE:
            return True
        event = orjson.loads(data)
        _raise_told(event)
        for delta in assembler.eat(event):
            ear(delta)
    return assembler.ended


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end, so that the connection serves again; a server that keeps it is left."""
    with suppress(TimeoutError, httpx2.RequestError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass


def _raise_told(body: Any) -> None:
    """Raise ToldError where what came with status 200 is an error."""
    if error := told_error(body):
        raise ToldError(error, billed(body))


def _broken(error: Exception, response: httpx2.Response, body: Any) -> CallError:
    """What is wrong with a reply of status 200."""
    match error:
        case ToldError():
            kind, usage = classify_told(error.error), error.usage
            message = f"status 200 with an error: {error}"
        case CutStreamError():
            kind, usage, message = FailureKind.CONNECTION, None, str(error)
        case _:
            kind, usage, message = FailureKind.BAD_RESPONSE, billed(body), str(error)
    request_id = _request_id(response.headers)
    return CallError(kind, message[:MAX_MESSAGE], provider_request_id=request_id, usage=usage)


def _request_id(headers: Mapping[str, str]) -> str | None:
    """OpenAI's name for it, else Azure's."""
    return headers.get("x-request-id") or headers.get("apim-request-id")
