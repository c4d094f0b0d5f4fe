"""The normal form: one request, one result, one usage for every provider and every door.

The same definitions are the HTTP body, the stored payload and what adapters take and give.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Literal

from shared.domain.conversation import FORBID, Message, Part, Role, ToolCall


class RequestKind(StrEnum):
    """What is asked for."""

    CHAT = "chat"
    COMPLETION = "completion"
    """The legacy form: a prompt is continued."""
    EMBEDDING = "embedding"


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    """It waits for the results of its tool calls."""
    CONTENT_FILTER = "content_filter"
    """The provider's filter cut the answer."""
    REFUSAL = "refusal"
    """The model itself would not answer."""


class ReasoningEffort(StrEnum):
    """How much a reasoning model may think."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class ToolMode(StrEnum):
    """Whether the model may call tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may call."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of an object."""
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTool:
    """The model must call this tool."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSchema:
    """The answer must be JSON of this schema."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    schema: dict[str, Any]
    """JSON Schema."""
    name: str = "answer"
    strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What is asked."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    model: str
    kind: RequestKind = RequestKind.CHAT
    messages: tuple[Message, ...] = ()
    """Of a chat."""
    prompt: str | None = None
    """Of a completion."""
    input: str | tuple[str, ...] | None = None
    """Of an embedding."""
    dimensions: int | None = None
    """Of each embedding vector."""
    max_tokens: int | None = None
    """The most output tokens; the catalog's default where absent."""
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolMode | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_schema: ResponseSchema | None = None
    reasoning_effort: ReasoningEffort | None = None
    web_search: bool = False
    """The provider may search the web for the answer; searches are billed."""
    prompt_cache: Literal["5m", "1h"] | None = None
    """Have the provider keep the prompt but its last part for so long: reading it again is cheap,
    writing it dearer. Providers that cache by themselves have no place for the wish."""
    stream: bool = False
    """Write the answer to the job's event stream while it comes."""
    drop_unsupported: bool = False
    """Leave out what the provider cannot express, instead of refusing the request."""
    metadata: dict[str, str] | None = None
    """Sent to the provider where it takes such labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as billed. The input total includes all that is cached, the output the reasoning."""

    input_tokens: int = 0
    cached_tokens: int = 0
    """Input that was read from the provider's cache."""
    cache_write_tokens: int = 0
    """Input that was written to a cache of some minutes."""
    cache_write_1h_tokens: int = 0
    """Input that was written to a cache of an hour."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    searches: int = 0
    """Web searches, billed apart."""
    service_tier: str | None = None
    """As the provider names it, where it bills by tier."""
    cost_nano: int | None = None
    """Nano-USD that the provider says it billed; it wins over what is computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationResult:
    """What came back. An assistant's turn that goes on from here is `message_of(result)`."""

    content: str = ""
    """All text of the answer."""
    parts: tuple[Part, ...] = ()
    """The content in its parts, where it is more than plain text."""
    tool_calls: tuple[ToolCall, ...] = ()
    embeddings: tuple[tuple[float, ...], ...] = ()
    """A vector for each input, in order."""
    refusal: str | None = None
    finish_reason: FinishReason
    model: str
    """The model that the provider says it used."""
    usage: Usage | None
    """None: the provider did not say; the cost is then unknown."""
    citations: tuple[str, ...] = ()
    """URLs that a searching model leant on."""
    first_token_ms: int | None = None
    """Of a streamed call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of an answer while it comes; only what is new."""

    text: str = ""
    reasoning: str = ""
    """Thought that the provider shows."""
    refusal: str = ""
    tool_call: int | None = None
    """The index of the tool call that the next three belong to."""
    tool_call_id: str = ""
    tool_name: str = ""
    arguments: str = ""
    """The next piece of its JSON text."""


def message_of(result: GenerationResult) -> Message:
    """The assistant's turn, to be sent back with the results of its tool calls."""
    return Message(
        role=Role.ASSISTANT,
        content=result.parts or result.content,
        tool_calls=result.tool_calls,
    )


def deltas_of(result: GenerationResult) -> Iterator[Delta]:
    """An answer that came whole, as pieces of a stream; none of an embedding."""
    if result.content or result.refusal:
        yield Delta(text=result.content, refusal=result.refusal or "")
    for number, call in enumerate(result.tool_calls):
        yield Delta(
            tool_call=number,
            tool_call_id=call.id,
            tool_name=call.name,
            arguments=call.arguments,
        )


@cache
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    """The fields of a dataclass with their defaults; none where it is no dataclass."""
    return tuple((each.name, each.default) for each in fields(kind)) if is_dataclass(kind) else ()


def sparse(value: Any) -> Any:
    """The JSON value of a normal form without what has its default: short to store and read."""
    if named := _defaults(type(value)):  # type: ignore[arg-type]  # a class can be hashed
        # A part keeps its type, which is what tells the parts apart.
        return {
            name: sparse(each)
            for name, default in named
            if (each := getattr(value, name)) != default or name == "type"
        }
    if isinstance(value, tuple):
        return [sparse(each) for each in value]
    return value
