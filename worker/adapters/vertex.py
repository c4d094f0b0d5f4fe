"""Gemini in a project of Google Cloud, under its application default credentials."""

from typing import Any, Final

from google.auth.credentials import Credentials

from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest, RequestKind
from worker.adapters.base import Answer, CallError, Told
from worker.adapters.gemini import GoogleAdapter, OneShotClient
from worker.adapters.transport import Connections

EVERYWHERE: Final = "global"
"""The location where none is named."""
GOOGLES: Final = "https://aiplatform.googleapis.com"
"""Where a location has an address of its own, the client knows it."""
MODELS: Final = "publishers/google/models"


class VertexAdapter(GoogleAdapter):
    """Gemini's chats in one project and location; there are no keys."""

    def __init__(  # noqa: PLR0913 - each is a setting of its row
        self,
        *,
        base_url: str,
        project: str,
        location: str,
        connections: Connections,
        connect_timeout: float,
        clock: Clock,
        api_version: str,
        credentials: Credentials | None = None,
    ) -> None:
        """Must be made on the event loop that will use it.

        `credentials`: None are the default ones, which Google's library finds with the first
        call: GOOGLE_APPLICATION_CREDENTIALS, or those of the machine.
        """
        access: dict[str, Any] = {"vertexai": True, "project": project, "location": location}
        client = OneShotClient(
            access={**access, "credentials": credentials},
            base_url=None if base_url.rstrip("/") == GOOGLES else base_url,
            api_version=api_version,
            connections=connections,
            connect_timeout=connect_timeout,
        )
        super().__init__(client, clock, models=MODELS)

    async def complete(
        self,
        request: GenerationRequest,
        *,
        model: str,
        attempt_id: str,
        timeout: float,
        told: Told | None = None,
    ) -> Answer:
        """One POST to the model's generateContent; see Adapter.complete."""
        if request.kind is not RequestKind.CHAT:
            message = f"this provider's wire has no requests of kind {request.kind}"
            raise CallError(FailureKind.BAD_REQUEST, message)
        return await super().complete(
            request, model=model, attempt_id=attempt_id, timeout=timeout, told=told
        )
