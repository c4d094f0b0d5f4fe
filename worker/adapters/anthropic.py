"""Anthropic's official client, kept to exactly one request per call."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import anthropic
import httpx2
import orjson
from pydantic import SecretStr

from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest, GenerationResult
from worker.adapters.anthropic_errors import IN_AN_ANSWER, classify, error_of, message_of
from worker.adapters.anthropic_reply import from_wire
from worker.adapters.anthropic_request import to_wire
from worker.adapters.anthropic_stream import MessageAssembler
from worker.adapters.base import Answer, CallError, Told, WireError
from worker.adapters.listening import BROKEN, listen
from worker.adapters.rates import ANTHROPIC, rate_of
from worker.adapters.refusals import retry_after, wait_of
from worker.adapters.sse import EVENTS
from worker.adapters.transport import (
    Connections,
    connection_error,
    http_client,
    key_for,
)

MESSAGES: Final = "/v1/messages"


class DeafClient(anthropic.AsyncAnthropic):
    """The official client with ears for its owner only.

    A key that is given keeps it from looking for others; what it still takes from the
    environment are the headers of ANTHROPIC_CUSTOM_HEADERS, a foreign key among them.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._custom_headers = {}


class AnthropicAdapter:
    """Messages of Anthropic's API under one key."""

    def __init__(
        self,
        *,
        base_url: str,
        key: SecretStr | None,
        connections: Connections,
        connect_timeout: float,
        clock: Clock,
        service_tier: str | None = None,
    ) -> None:
        """Must be made on the event loop that will use it. `base_url`: without its `/v1`.

        `service_tier`: what each message asks for.
        """
        self._clock = clock
        self._tier = {"service_tier": service_tier} if service_tier else {}
        self._connect_timeout = connect_timeout
        self._client = DeafClient(
            api_key=key_for(key),
            base_url=base_url,
            max_retries=0,
            open_telemetry=False,
            http_client=http_client(connections),
        )

    async def complete(
        self,
        request: GenerationRequest,
        *,
        model: str,
        attempt_id: str,
        timeout: float,
        told: Told | None = None,
    ) -> Answer:
        """One POST /v1/messages; see Adapter.complete."""
        body = to_wire(request, model, stream=told is not None)
        content = orjson.dumps({**body, **self._tier})
        options: anthropic.RequestOptions = {
            "headers": {"x-client-request-id": attempt_id},
            "timeout": httpx2.Timeout(timeout, connect=min(timeout, self._connect_timeout)),
            # A redirect would be a second request, and it would carry the key elsewhere.
            "follow_redirects": False,
        }
        with self._in_our_words():
            if told is not None:
                return await self._streamed(content, options, timeout, told)
            async with asyncio.timeout(timeout):
                return await self._whole(content, options)

    async def check(self, *, timeout: float) -> None:
        """GET /v1/models; see Adapter.check."""
        options: anthropic.RequestOptions = {"timeout": timeout, "follow_redirects": False}
        with self._in_our_words():
            async with asyncio.timeout(timeout):
                await self._client.get("/v1/models", cast_to=httpx2.Response, options=options)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _whole(self, content: bytes, options: anthropic.RequestOptions) -> Answer:
        response = await self._client.post(
            MESSAGES, cast_to=httpx2.Response, content=content, options=options
        )
        with _named(response):
            return _answer(response, _result(response.content))

    async def _streamed(
        self, content: bytes, options: anthropic.RequestOptions, timeout: float, told: Told
    ) -> Answer:
        began = time.monotonic()
        stream = await self._client.post(
            MESSAGES,
            cast_to=object,
            content=content,
            options=options,
            stream=True,
            stream_cls=anthropic.AsyncStream[object],
        )
        response = stream.response
        async with stream:
            with _named(response):
                if EVENTS not in response.headers.get("content-type", ""):
                    return _answer(response, _result(await response.aread()))
                assembler = MessageAssembler()
                result = await listen(response, assembler, told, began=began, timeout=timeout)
                return _answer(response, result)

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Every way in which the client fails, as CallError."""
        try:
            yield
        except anthropic.APIStatusError as error:
            raise self._refusal(error) from None
        except (anthropic.APIConnectionError, WireError, *BROKEN) as error:
            raise connection_error(error) from None
        except TimeoutError:
            message = "the provider did not answer in time"
            raise CallError(FailureKind.TIMEOUT, message) from None

    def _refusal(self, error: anthropic.APIStatusError) -> CallError:
        wait = retry_after(error.response.headers, self._clock.now())
        said = error_of(error.body)
        kind = classify(error.status_code, said, retry_after=wait)
        return CallError(
            kind,
            f"{error.status_code}: {message_of(said) or error.message}"[:500],
            retry_after=wait_of(kind, wait),
            provider_request_id=error.request_id,
            rate=rate_of(error.response.headers, ANTHROPIC),
        )


def _answer(response: httpx2.Response, result: GenerationResult) -> Answer:
    return Answer(result, _id_of(response), rate_of(response.headers, ANTHROPIC))


def _result(content: bytes) -> GenerationResult:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        message = f"the reply is not JSON ({error})"
        raise WireError(message) from None
    if complaint := error_of(body):
        message = f"status 200 with an error: {message_of(complaint) or complaint}"
        raise CallError(classify(IN_AN_ANSWER, complaint), message[:500]).under_200()
    return from_wire(body)


@contextmanager
def _named(response: httpx2.Response) -> Iterator[None]:
    """What an answer turns out to be instead of one is told with its request's id."""
    try:
        yield
    except WireError as error:
        raise CallError(
            FailureKind.BAD_RESPONSE, str(error)[:500], provider_request_id=_id_of(response)
        ) from None
    except CallError as error:
        error.provider_request_id = _id_of(response)
        raise


def _id_of(response: httpx2.Response) -> str | None:
    return response.headers.get("request-id")
