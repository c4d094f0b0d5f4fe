"""The seam between the pipeline and a provider's wire."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, GenerationRequest, GenerationResult, Usage

Told = Callable[[Delta], None]
"""Hears each piece of a streamed answer; returns at once and raises nothing."""
Rate = Mapping[str, int]
"""What the provider says it would still take in its window, by the limit's name in the catalog:
`requests`, `tokens`, `input_tokens`, `output_tokens`. What it did not say is not there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A usable answer of a provider."""

    result: GenerationResult
    provider_request_id: str | None
    rate: Rate = field(default_factory=dict)


class CallError(Exception):
    """A call that gave no usable answer, in our own words."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        retry_after: float | None = None,
        provider_request_id: str | None = None,
        usage: Usage | None = None,
        rate: Rate | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after
        """Seconds that the provider asked us to wait."""
        self.provider_request_id = provider_request_id
        self.usage = usage
        """What was billed all the same; None: nobody said."""
        self.rate = rate or {}
        self.perhaps_billed = False
        """The provider had begun to answer: the bill is not nothing, whatever the kind says."""

    def under_200(self) -> Self:
        """The same, told with status 200: a failure of the provider's may follow billed work."""
        self.perhaps_billed = self.perhaps_billed or self.kind is FailureKind.SERVER
        return self


class WireError(ValueError):
    """A reply with status 200 that is no answer."""


class Adapter(Protocol):
    """One provider under one credential; lives on one event loop."""

    async def complete(
        self,
        request: GenerationRequest,
        *,
        model: str,
        attempt_id: str,
        timeout: float,
        told: Told | None = None,
    ) -> Answer:
        """Make exactly one request. Raises CallError, and nothing else, when it fails.

        `model`: the provider's own name of it. `timeout`: seconds for the whole call. With
        `told`, the answer is streamed and each piece told.
        """
        ...

    async def check(self, *, timeout: float) -> None:
        """Ask the provider something that costs nothing. Raises CallError when it fails."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
