"""The seam between the pipeline and a provider's dialect."""

from dataclasses import dataclass
from typing import Protocol

from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest, GenerationResult


@dataclass(frozen=True, slots=True)
class Answer:
    """A usable answer of a provider."""

    result: GenerationResult
    provider_request_id: str | None


class CallError(Exception):
    """A call that gave no usable answer, in our own words."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        retry_after: float | None = None,
        provider_request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after
        """Seconds that the provider asked us to wait."""
        self.provider_request_id = provider_request_id


class Adapter(Protocol):
    """One provider under one credential; lives on one event loop."""

    async def complete(
        self, request: GenerationRequest, *, model: str, attempt_id: str, timeout: float
    ) -> Answer:
        """Make exactly one request. Raises CallError, and nothing else, when it fails."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
