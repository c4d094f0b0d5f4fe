"""OpenAI's chat, completions and embeddings, at OpenAI and at all who speak like it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import openai
from pydantic import SecretStr

from shared.domain.clock import Clock
from shared.domain.generation import GenerationRequest, RequestKind
from worker.adapters import openai_embedding, openai_legacy, openai_wire
from worker.adapters.openai_client import Deaf, FamilyAdapter, Form
from worker.adapters.openai_stream import ChatAssembler
from worker.adapters.transport import Connections, http_client, key_for

WITH_USAGE: Final = {"stream_options": {"include_usage": True}}
CHAT: Final = Form(
    path="/chat/completions",
    to_wire=openai_wire.to_wire,
    from_wire=lambda body, _: openai_wire.from_wire(body),
    assembler=ChatAssembler,
    stream_options=WITH_USAGE,
    has_tiers=True,
)
FORMS: Final[Mapping[RequestKind, Form]] = {
    RequestKind.CHAT: CHAT,
    RequestKind.COMPLETION: Form(
        path="/completions",
        to_wire=openai_legacy.to_wire,
        from_wire=lambda body, _: openai_legacy.from_wire(body),
        assembler=openai_legacy.CompletionAssembler,
        stream_options=WITH_USAGE,
    ),
    RequestKind.EMBEDDING: Form(
        path="/embeddings",
        to_wire=openai_embedding.to_wire,
        from_wire=lambda body, request: openai_embedding.from_wire(
            body, openai_embedding.inputs_of(request)
        ),
    ),
}


def _with_max_tokens(request: GenerationRequest, model: str) -> dict[str, Any]:
    """The chat body with the older name of its bound."""
    body = openai_wire.to_wire(request, model)
    if (bound := body.pop("max_completion_tokens", None)) is not None:
        body["max_tokens"] = bound
    return body


LEGACY_FORMS: Final = {**FORMS, RequestKind.CHAT: replace(CHAT, to_wire=_with_max_tokens)}


class DeafClient(Deaf, openai.AsyncOpenAI):
    """The official client that hears nothing of the environment."""


class OpenAIAdapter(FamilyAdapter):
    """One OpenAI-compatible server under one key."""

    def __init__(  # noqa: PLR0913 - each is a setting of its row
        self,
        *,
        base_url: str,
        key: SecretStr | None,
        connections: Connections,
        connect_timeout: float,
        clock: Clock,
        legacy_max_tokens: bool = False,
        service_tier: str | None = None,
    ) -> None:
        """Must be made on the event loop that will use it.

        `legacy_max_tokens`: the server knows `max_tokens` only, not `max_completion_tokens`.
        `service_tier`: what each chat asks for.
        """
        client = DeafClient(
            api_key=key_for(key),
            base_url=base_url,
            max_retries=0,
            http_client=http_client(connections),
        )
        forms = LEGACY_FORMS if legacy_max_tokens else FORMS
        super().__init__(
            client, forms, connect_timeout=connect_timeout, clock=clock, service_tier=service_tier
        )
