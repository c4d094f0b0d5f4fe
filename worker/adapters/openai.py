"""OpenAI's official client, kept to exactly one request per call."""

from typing import Final

import aiohttp
import httpx2
import openai
import orjson
from pydantic import SecretStr

from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest
from worker.adapters.base import Answer, CallError
from worker.adapters.openai_wire import WireError, classify, from_wire, retry_after, to_wire

KEY_FOR_KEYLESS: Final = "none"
"""Servers that want no key still get a header: the client insists on one."""


class DeafClient(openai.AsyncOpenAI):
    """The official client with ears for its owner only.

    It would put organization, project and any header of OPENAI_CUSTOM_HEADERS on the wire, a
    foreign key among them.
    """

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        """What every request says beside the key."""
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": self.user_agent,
            **self.platform_headers(),
        }


class OpenAIAdapter:
    """Chat completions of one OpenAI-compatible server under one key."""

    def __init__(
        self,
        *,
        base_url: str,
        key: SecretStr | None,
        connections: int,
        connect_timeout: float,
        clock: Clock,
    ) -> None:
        """Must be made on the event loop that will use it."""
        self._clock = clock
        self._connect_timeout = connect_timeout
        self._client = DeafClient(
            api_key=key.get_secret_value() if key else KEY_FOR_KEYLESS,
            base_url=base_url,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(
                limits=httpx2.Limits(
                    max_connections=connections, max_keepalive_connections=connections
                )
            ),
        )

    async def complete(
        self, request: GenerationRequest, *, model: str, attempt_id: str, timeout: float
    ) -> Answer:
        """One POST /chat/completions; see Adapter.complete."""
        patience = httpx2.Timeout(timeout, connect=min(timeout, self._connect_timeout))
        try:
            # Half the CPU of `chat.completions.create`: no pydantic models on the way.
            response = await self._client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                body=to_wire(request, model),
                options={"headers": {"x-client-request-id": attempt_id}, "timeout": patience},
            )
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except openai.APIConnectionError as error:
            raise _connection_error(error) from None
        return self._answer(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _answer(self, response: httpx2.Response) -> Answer:
        request_id = response.headers.get("x-request-id")
        try:
            body = orjson.loads(response.content)
            if isinstance(body, dict) and body.get("error"):
                kind = classify(500, body["error"])
                message = f"status 200 with an error: {body['error']}"
                raise CallError(kind, message[:500], provider_request_id=request_id)
            return Answer(from_wire(body), request_id)
        except (orjson.JSONDecodeError, WireError) as error:
            raise CallError(
                FailureKind.BAD_RESPONSE, str(error)[:500], provider_request_id=request_id
            ) from None

    def _refusal(self, error: openai.APIStatusError) -> CallError:
        return CallError(
            classify(error.status_code, error.body),
            f"{error.status_code}: {_message_of(error.body) or error.message}"[:500],
            retry_after=retry_after(error.response.headers, self._clock.now()),
            provider_request_id=error.request_id,
        )


def _connection_error(error: openai.APIConnectionError) -> CallError:
    """Tell apart what was never sent from what may have been billed."""
    cause = _cause_below_transport(error)
    match cause:
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return CallError(FailureKind.UNREACHABLE, f"no connection: {_name(cause)}")
        case TimeoutError():
            return CallError(FailureKind.TIMEOUT, "the provider did not answer in time")
        case _:
            return CallError(FailureKind.CONNECTION, f"the connection broke: {_name(cause)}")


def _cause_below_transport(error: BaseException) -> BaseException:
    """The word of aiohttp: the transport above it calls a dropped connection a timeout, too."""
    cause = error
    while not isinstance(cause, aiohttp.ClientError):
        below = cause.__cause__ or cause.__context__
        if below is None:
            break
        cause = below
    return cause


def _message_of(body: object) -> str | None:
    return str(body["message"]) if isinstance(body, dict) and body.get("message") else None


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
