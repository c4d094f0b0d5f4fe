"""The public shapes of responses, as far as OpenAPI tells them; OpenAI's own reference has all."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

RESPONSE_EXAMPLE: JsonDict = {
    "model": "gpt-4.1-mini",
    "input": "Why is the sky blue?",
    "background": True,
}


class ResponseCreate(BaseModel):
    """A response as it is asked for."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [RESPONSE_EXAMPLE]})

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    background: bool | None = None
    stream: bool | None = None
    store: bool | None = None
    max_output_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    previous_response_id: str | None = None
    metadata: dict[str, str] | None = None
    promptmill: dict[str, Any] | None = None
    """Fields of a job beside its request."""


class ResponseRead(BaseModel):
    """A response as it stands."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    model: str
    output: list[dict[str, Any]]
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    usage: dict[str, Any] | None


class ResponseDeleted(BaseModel):
    """It cannot be read any more."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class InputItems(BaseModel):
    """A page of what was sent in."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
