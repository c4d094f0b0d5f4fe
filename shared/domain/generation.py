"""The normal form: one request, one result, one usage for every provider."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of the conversation."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What is asked: HTTP body, stored payload and adapter input alike."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    """The most output tokens; the catalog's default where absent."""
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as billed; the input total includes the cached, the output the reasoning."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationResult:
    """What came back."""

    content: str
    finish_reason: FinishReason
    model: str
    """The model that the provider says it used."""
    usage: Usage | None
    """None: the provider did not say; the cost is then unknown."""
    refusal: str | None = None
