"""OpenAI's Responses, at OpenAI, xAI and Perplexity."""

from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from shared.domain.clock import Clock
from shared.domain.generation import RequestKind
from worker.adapters import responses_wire
from worker.adapters.openai import DeafClient
from worker.adapters.openai_client import FamilyAdapter, Form
from worker.adapters.responses_stream import ResponseAssembler
from worker.adapters.transport import Connections, http_client, key_for

FORMS: Final[Mapping[RequestKind, Form]] = {
    RequestKind.CHAT: Form(
        path="/responses",
        to_wire=responses_wire.to_wire,
        from_wire=lambda body, _: responses_wire.from_wire(body),
        assembler=ResponseAssembler,
        has_tiers=True,
    ),
}


class ResponsesAdapter(FamilyAdapter):
    """One server that speaks Responses, under one key."""

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
        """Must be made on the event loop that will use it. `service_tier`: what each asks for."""
        client = DeafClient(
            api_key=key_for(key),
            base_url=base_url,
            max_retries=0,
            http_client=http_client(connections),
        )
        super().__init__(
            client, FORMS, connect_timeout=connect_timeout, clock=clock, service_tier=service_tier
        )
