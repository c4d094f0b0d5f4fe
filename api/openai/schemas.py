"""Bodies of OpenAI's API as OpenAPI tells them; shared/faces/openai_request.py reads them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Extension = Annotated[
    dict[str, Any] | None,
    Field(description="Fields of a job: lane, deadline_seconds, policy, tags, project, rehearse"),
]


class Loose(BaseModel):
    """Parameters that are not named here are taken as OpenAI takes them, or set aside."""

    model_config = ConfigDict(extra="allow")

    model: str
    """Of any provider; also an alias, or a route of the catalog."""
    promptmill: Extension = None


class ChatBody(Loose):
    """A chat."""

    messages: list[dict[str, Any]]
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None


class CompletionBody(Loose):
    """A prompt that is continued: one, or a list of one."""

    prompt: str | list[str]
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = None


class EmbeddingBody(Loose):
    """Texts that become vectors."""

    input: str | list[str]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"


class Reply(BaseModel):
    """An answer of OpenAI's API."""

    model_config = ConfigDict(extra="allow")

    object: str
    model: str
    usage: dict[str, Any] | None


class Answered(Reply):
    """The answer to a chat or a completion."""

    id: str
    created: int
    choices: list[dict[str, Any]]


class Embedded(Reply):
    """Vectors, each a list of numbers, or base64 of little-endian float32."""

    data: list[dict[str, Any]]
