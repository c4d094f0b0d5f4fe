"""OpenAI's official clients, kept to exactly one request per call, under every wire of theirs."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Final, cast

import httpx2
import openai
import orjson
from openai import RequestOptions

from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.generation import (
    GenerationRequest,
    GenerationResult,
    RequestKind,
    deltas_of,
)
from worker.adapters.base import Answer, CallError, Rate, Told, WireError
from worker.adapters.listening import BROKEN, Assembler, listen
from worker.adapters.openai_errors import MAX_MESSAGE, classify, message_of, raise_told
from worker.adapters.openai_usage import billed
from worker.adapters.rates import OPENAI, rate_of
from worker.adapters.refusals import retry_after, wait_of
from worker.adapters.transport import connection_error

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of request is asked and answered."""

    path: str
    to_wire: Callable[[GenerationRequest, str], dict[str, Any]]
    from_wire: Callable[[Any, GenerationRequest], GenerationResult]
    """Raises WireError."""
    assembler: Callable[[], Assembler] | None = None
    """None: its answer comes whole only."""
    stream_options: Mapping[str, Any] = field(default_factory=dict)
    has_tiers: bool = False
    """It takes a `service_tier`."""


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
        service_tier: str | None = None,
    ) -> None:
        self._client = client
        self._forms = forms
        self._tier = {"service_tier": service_tier} if service_tier else {}
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
        body = {**form.to_wire(request, model), **(self._tier if form.has_tiers else {})}
        send = partial(self._send, form, body, attempt_id, timeout)
        with self._in_our_words():
            if told is None or form.assembler is None:
                async with asyncio.timeout(timeout):
                    response = await send(stream=False)
                with _named(response) as request_id:
                    result = _whole(response.content, form, request)
                    return Answer(result, request_id, _rate(response))
            began = monotonic()
            response = await send(stream=True)
            async with aclosing(response):
                with _named(response) as request_id:
                    if JSON in response.headers.get("content-type", ""):
                        result = await _unstreamed(response, form, request, told)
                    else:
                        assembler = form.assembler()
                        heard = listen(response, assembler, told, began=began, timeout=timeout)
                        result = await heard
                    return Answer(result, request_id, _rate(response))

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

    async def _send(
        self,
        form: Form,
        body: dict[str, Any],
        attempt_id: str,
        timeout: float,
        *,
        stream: bool,
    ) -> httpx2.Response:
        """The raw reply: without the client's models it costs two thirds, streamed a quarter."""
        options = self._options(timeout)
        options["headers"] = {"x-client-request-id": attempt_id}
        response = await self._client.post(
            form.path,
            cast_to=httpx2.Response,
            body={**body, "stream": True, **form.stream_options} if stream else body,
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
        except (openai.APIConnectionError, WireError, *BROKEN) as error:
            raise connection_error(error) from None
        except TimeoutError:
            message = "the provider did not answer in time"
            raise CallError(FailureKind.TIMEOUT, message) from None

    def _refusal(self, error: openai.APIStatusError) -> CallError:
        headers, kind = error.response.headers, classify(error.status_code, error.body)
        return CallError(
            kind,
            f"{error.status_code}: {message_of(error.body) or error.message}"[:MAX_MESSAGE],
            retry_after=wait_of(kind, retry_after(headers, self._clock.now())),
            provider_request_id=error.request_id or headers.get("apim-request-id"),
            rate=rate_of(headers, OPENAI),
        )


def _whole(content: bytes, form: Form, request: GenerationRequest) -> GenerationResult:
    """The answer in one piece. Raises CallError."""
    body: Any = None
    try:
        body = orjson.loads(content)
        raise_told(body)
        return form.from_wire(body, request)
    except (orjson.JSONDecodeError, WireError) as error:
        message = str(error)[:MAX_MESSAGE]
        raise CallError(FailureKind.BAD_RESPONSE, message, usage=billed(body)) from None


async def _unstreamed(
    response: httpx2.Response, form: Form, request: GenerationRequest, told: Told
) -> GenerationResult:
    """The answer of a server that was asked to stream and does not: told in one piece."""
    result = _whole(await response.aread(), form, request)
    for delta in deltas_of(result):
        told(delta)
    return result


def _rate(response: httpx2.Response) -> Rate:
    return rate_of(response.headers, OPENAI)


@contextmanager
def _named(response: httpx2.Response) -> Iterator[str | None]:
    """The id of the request by the provider's name: Azure has one of its own."""
    headers = response.headers
    request_id = headers.get("x-request-id") or headers.get("apim-request-id")
    try:
        yield request_id
    except WireError as error:
        message = str(error)[:MAX_MESSAGE]
        raise CallError(FailureKind.BAD_RESPONSE, message, provider_request_id=request_id) from None
    except CallError as error:
        error.provider_request_id = request_id
        raise
