"""Google's official client, kept to exactly one request per call."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from time import monotonic
from typing import Any, cast

import aiohttp
import httpx2
import orjson
from google.auth.exceptions import GoogleAuthError, TransportError
from google.genai import errors
from google.genai._api_client import BaseApiClient
from google.genai.types import HttpOptions
from pydantic import SecretStr

from shared.domain.clock import Clock
from shared.domain.errors import ConfigurationError
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest, GenerationResult, RequestKind
from worker.adapters.base import Answer, CallError, Told
from worker.adapters.gemini_refusals import refusal
from worker.adapters.gemini_reply import embeddings_from_wire, from_wire
from worker.adapters.gemini_stream import Assembler
from worker.adapters.gemini_wire import MODELS, calls_in, path_of, to_wire
from worker.adapters.listening import listen
from worker.adapters.sse import EVENTS
from worker.adapters.transport import (
    Connections,
    connection_error,
    http_client,
    key_for,
)


class OneShotClient(BaseApiClient):
    """The official client below its methods, which would send several requests for one call.

    Those follow continuations, call functions and retry; this asks once, at a third of the CPU,
    and hears a stream at a fifth. What the environment says of keys, projects, addresses and
    versions is settled by what is given here.
    """

    def __init__(
        self,
        *,
        access: Mapping[str, Any],
        base_url: str | None,
        api_version: str,
        connections: Connections,
        connect_timeout: float,
    ) -> None:
        """`access`: what opens the door, in the client's words. `base_url`: None is Google's."""

        async def hurry(request: httpx2.Request) -> None:
            """The client knows one timeout only; a connection is not worth all of it."""
            patience = request.extensions["timeout"]
            patience["connect"] = min(patience["connect"], connect_timeout)

        self._connections = http_client(connections)
        hooks = self._connections.event_hooks
        self._connections.event_hooks = {**hooks, "request": [*hooks["request"], hurry]}
        # A redirect would be a second request, and it would carry the key to another host.
        self._connections.follow_redirects = False
        try:
            super().__init__(
                **access,
                http_options=HttpOptions(
                    base_url=base_url,
                    api_version=api_version,
                    httpx_async_client=self._connections,
                ),
            )
        except ImportError as error:
            raise ConfigurationError(f"{error} Unset GOOGLE_GENAI_HTTP_CLIENT.") from None

    async def send(
        self, path: str, body: Any = None, *, headers: dict[str, str], timeout: float, stream: bool
    ) -> httpx2.Response:
        """One request: a POST where there is a body. `timeout`: seconds for each of its waits.

        With `stream` the reply is still to be read and closed, if it is one: what stands between
        may answer with something else. Raises the client's APIError for a refusal, and whatever
        breaks below it.
        """
        options = HttpOptions(headers=headers, timeout=max(1, round(timeout * 1000)))
        method = "get" if body is None else "post"
        request = self._build_request(method, path, {}, options)
        if body is not None:
            request.data = orjson.dumps(body)
        reply = await self._async_request_once(request, stream=True)
        response = cast(httpx2.Response, reply.response_stream)
        if not stream or EVENTS not in response.headers.get("content-type", ""):
            # Whoever stops waiting leaves no reply half read.
            async with aclosing(response):
                await response.aread()
        return response

    async def end(self) -> None:
        """Close the connections, which the client leaves to their maker."""
        await self._connections.aclose()
        self.close()


class GoogleAdapter:
    """Models of Gemini behind one of Google's doors; see Adapter."""

    def __init__(self, client: OneShotClient, clock: Clock, *, models: str = MODELS) -> None:
        """`models`: the collection of models at this door."""
        self._client = client
        self._clock = clock
        self._models = models

    async def complete(
        self,
        request: GenerationRequest,
        *,
        model: str,
        attempt_id: str,
        timeout: float,
        told: Told | None = None,
    ) -> Answer:
        """One POST to the model's generateContent or a sibling of it; see Adapter.complete."""
        if request.kind is RequestKind.EMBEDDING:
            told = None
        call, body = _Call(self._clock), to_wire(request, model)
        with call.failing_in_our_words():
            async with asyncio.timeout(timeout):
                response = await self._client.send(
                    path_of(request, model, stream=told is not None, models=self._models),
                    body,
                    headers={"x-client-request-id": attempt_id},
                    timeout=timeout,
                    stream=told is not None,
                )
            call.request_id = response.headers.get("x-request-id")
            if told is None or response.is_closed:
                result = _whole(call.opened(response.content), request, model)
            else:
                pieces = Assembler(model, self._clock, calls_before=calls_in(request))
                async with aclosing(response):
                    result = await call.heard(response, pieces, told, timeout)
        return Answer(result, call.request_id)

    async def check(self, *, timeout: float) -> None:
        """GET models; see Adapter.check."""
        with _Call(self._clock).failing_in_our_words():
            async with asyncio.timeout(timeout):
                await self._client.send(self._models, headers={}, timeout=timeout, stream=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.end()


class GeminiAdapter(GoogleAdapter):
    """Gemini under one key."""

    def __init__(
        self,
        *,
        base_url: str,
        key: SecretStr | None,
        connections: Connections,
        connect_timeout: float,
        clock: Clock,
        api_version: str,
    ) -> None:
        """Must be made on the event loop that will use it."""
        client = OneShotClient(
            access={"vertexai": False, "api_key": key_for(key)},
            base_url=base_url,
            api_version=api_version,
            connections=connections,
            connect_timeout=connect_timeout,
        )
        super().__init__(client, clock)


def _whole(body: Any, request: GenerationRequest, model: str) -> GenerationResult:
    if request.kind is not RequestKind.EMBEDDING:
        return from_wire(body, model, calls_before=calls_in(request))
    texts = request.input or ()
    return embeddings_from_wire(body, model, 1 if isinstance(texts, str) else len(texts))


def _without_credential(error: GoogleAuthError) -> CallError:
    """Nothing was sent: Google gave no token, or there is nothing to ask for one with."""
    unreachable = isinstance(error, TransportError)
    kind = FailureKind.UNREACHABLE if unreachable else FailureKind.AUTH
    return CallError(
        kind, f"no credential for Google Cloud ({type(error).__name__}: {error})"[:500]
    )


class _Call:
    """One call on its way: since when, and the id that the reply gives itself."""

    def __init__(self, clock: Clock) -> None:
        self.began = monotonic()
        self.request_id: str | None = None
        self._clock = clock

    def opened(self, text: bytes) -> Any:
        """The JSON of a whole reply. Raises CallError where it is an error."""
        body = orjson.loads(text)
        if isinstance(body, dict):
            self.request_id = body.get("responseId") or self.request_id
            if body.get("error"):
                raise refusal(body, self._clock.now()).under_200()
        return body

    async def heard(
        self, response: httpx2.Response, pieces: Assembler, told: Told, timeout: float
    ) -> GenerationResult:
        """The whole of a streamed reply; see `listen`."""
        try:
            return await listen(response, pieces, told, began=self.began, timeout=timeout)
        finally:
            self.request_id = pieces.response_id or self.request_id

    @contextmanager
    def failing_in_our_words(self) -> Iterator[None]:
        """Whatever breaks becomes a CallError that names the reply, where there is one."""
        try:
            yield
        except CallError as error:
            error.provider_request_id = error.provider_request_id or self.request_id
            raise
        except errors.APIError as error:
            now, reply = self._clock.now(), error.response
            raise refusal(error.details, now, error.code, reply.headers) from None
        except TimeoutError:
            raise self._failure(FailureKind.TIMEOUT, "no answer in time") from None
        except ValueError as error:
            raise self._failure(FailureKind.BAD_RESPONSE, str(error)) from None
        except GoogleAuthError as error:
            raise _without_credential(error) from None
        except (httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
            raise connection_error(error) from None

    def _failure(self, kind: FailureKind, message: str) -> CallError:
        return CallError(kind, message[:500], provider_request_id=self.request_id)
