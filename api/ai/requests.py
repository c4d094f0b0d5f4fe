"""What the native forms take: a prompt, or messages, and few options."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from shared.catalog.deployments import DEFAULT_NAME
from shared.domain.conversation import Message, Role
from shared.routing.policy import Complexity, Prefer

ROUTER: Final = "smart"
"""A route of the catalog: it chooses a model by what is asked."""
OPTIONS: Final = ("max_tokens", "temperature", "top_p", "stop", "stream")
"""What goes into the request as it is."""
PROMPT_EXAMPLE: JsonDict = {
    "prompt": "Why is the sky blue?",
    "system": "Answer in one sentence.",
    "max_tokens": 200,
}
CHAT_EXAMPLE: JsonDict = {
    "messages": [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "Why is the sky blue?"},
    ],
    "max_tokens": 200,
}
ROUTED_EXAMPLE: JsonDict = {**CHAT_EXAMPLE, "complexity": "auto", "preference": "cost"}

Name = Annotated[str, Field(min_length=1, max_length=200)]
Messages = Annotated[tuple[Message, ...], Field(min_length=1)]
Prompt = Annotated[str, Field(min_length=1)]


class Asked(BaseModel):
    """What all forms take; what else a request may have, a job's route takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Name = DEFAULT_NAME
    """A model, an alias or a route of the catalog."""
    max_tokens: int | None = None
    """The most output tokens; the catalog's default where absent."""
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] | None = None
    promptmill: dict[str, Any] | None = None
    """Fields of a job: lane, deadline_seconds, project, end_user, tags, policy, and the like."""


class Streamable(Asked):
    """What can be told while it comes."""

    stream: bool = False
    """Server-sent events, as `GET /api/v1/jobs/{id}/events` has them."""


class CompletionAsked(Streamable):
    """A prompt, and what the model shall know before it."""

    model_config = ConfigDict(json_schema_extra={"examples": [PROMPT_EXAMPLE]})

    prompt: Prompt
    system: str | None = None


class ChatAsked(Streamable):
    """The messages so far; the last is to be answered."""

    model_config = ConfigDict(json_schema_extra={"examples": [CHAT_EXAMPLE]})

    messages: Messages


class Either(Asked):
    """A prompt, with a system text or without, or messages."""

    prompt: Prompt | None = None
    system: str | None = None
    messages: Messages | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("either", "send either a prompt or messages")
        if self.messages is not None and self.system is not None:
            raise PydanticCustomError("either", "system goes with a prompt, not with messages")
        return self

    @property
    def turns(self) -> tuple[Message, ...]:
        """The conversation, however it was sent."""
        if self.messages is not None:
            return self.messages
        said = ((Role.SYSTEM, self.system), (Role.USER, self.prompt))
        return tuple(Message(role=role, content=text) for role, text in said if text)


class RoutedAsked(Streamable, Either):
    """The same, and by what a model is chosen for it."""

    model_config = ConfigDict(json_schema_extra={"examples": [ROUTED_EXAMPLE]})

    model: Name = ROUTER
    complexity: Complexity | None = None
    """`auto`, the default: the classifier says it."""
    preference: Prefer | None = None
    """What to look at among models that can all do it."""


class GenerateAsked(Either):
    """A prompt or messages, to be answered by a job."""

    model_config = ConfigDict(json_schema_extra={"examples": [PROMPT_EXAMPLE]})


def request_of(asked: Asked, body: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of the GenerationRequest that a checked body asks for."""
    options = {name: body[name] for name in OPTIONS if body.get(name) is not None}
    return {"model": asked.model, "messages": _messages(body), **options}


def wishes_of(asked: Asked) -> dict[str, Any]:
    """What the form says of the job's policy."""
    if not isinstance(asked, RoutedAsked):
        return {}
    said = {"complexity": asked.complexity, "prefer": asked.preference}
    return {name: value for name, value in said.items() if value is not None}


def _messages(body: Mapping[str, Any]) -> Any:
    if body.get("messages") is not None:
        return body["messages"]
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    return [*system, {"role": "user", "content": body["prompt"]}]
