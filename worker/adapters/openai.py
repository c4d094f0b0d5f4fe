"""OpenAI's official client, kept to exactly one request per call."""

from typing import Final

import httpx2
import openai
import orjson
from pydantic import SecretStr

from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest
from worker.adapters.base import Answer, CallError, Told, WireError
from worker.adapters.openai_wire import classify, from_wire, to_wire
from worker.adapters.refusals import retry_after
from worker.adapters.transport import connection_error, http_client

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
            http_client=http_client(connections),
        )

    async def complete(
        self,
        request: GenerationRequest,
        *,
        model: str,
        attempt_id: str,
        timeout: float,
        told: Told | None = None,  # noqa: ARG002 - a whole answer has no pieces
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
            raise connection_error(error) from None
        return self._answer(response)

    async def check(self, *, timeout: float) -> None:
        """GET /models; see Adapter.check."""
        try:
            await self._client.get("/models", cast_to=httpx2.Response, options={"timeout": timeout})
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except openai.APIConnectionError as error:
            raise connection_error(error) from None

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


def _message_of(body: object) -> str | None:
    return str(body["message"]) if isinstance(body, dict) and body.get("message") else None
