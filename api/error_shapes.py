"""The shapes of an error: ours, OpenAI's and Anthropic's, chosen by the request's path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.types import Scope

from shared.faces.faults import Fault, anthropic_error, openai_error

ANTHROPIC_VERSION: Final = "anthropic-version"
"""The header by which Anthropic's clients are known where OpenAI has the same path."""


class Dialect(StrEnum):
    """As whose API a path speaks."""

    NATIVE = "native"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


def dialect_of(scope: Scope) -> Dialect:
    """As whose API this request expects to be answered."""
    path: str = scope["path"]
    if path != "/v1" and not path.startswith("/v1/"):
        return Dialect.NATIVE
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return Dialect.ANTHROPIC
    told = ANTHROPIC_VERSION in Headers(scope=scope)
    return Dialect.ANTHROPIC if told else Dialect.OPENAI


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An error as it is told, in any shape."""

    fault: Fault
    code: str
    """Ours."""
    message: str
    field: str | None = None
    line: int | None = None
    """Of a body of lines."""
    status_url: str | None = None
    """Of the job that it is about."""
    retry_after: int | None = None
    """Seconds."""


class ErrorDetail(BaseModel):
    """What went wrong and where."""

    code: str
    message: str
    field: str | None = None
    line: int | None = None
    request_id: str = ""
    status_url: str | None = None
    """Of the job that it is about, where there is one."""


class ErrorBody(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail


class OpenAIErrorDetail(BaseModel):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str | None
    status_url: str | None = None
    """Of the job that it is about, where there is one."""


class OpenAIErrorBody(BaseModel):
    """The shape of an error under /v1."""

    error: OpenAIErrorDetail


class AnthropicErrorDetail(BaseModel):
    """What went wrong, in Anthropic's words."""

    type: str
    message: str
    status_url: str | None = None
    """Of the job that it is about, where there is one."""


class AnthropicErrorBody(BaseModel):
    """The shape of an error under /v1/messages."""

    type: str = "error"
    error: AnthropicErrorDetail
    request_id: str


BODIES: Final[Mapping[Dialect, type[BaseModel]]] = {
    Dialect.NATIVE: ErrorBody,
    Dialect.OPENAI: OpenAIErrorBody,
    Dialect.ANTHROPIC: AnthropicErrorBody,
}
"""What OpenAPI says of them."""


def native_error(told: Told, request_id: str) -> dict[str, Any]:
    """In our own shape."""
    detail = {
        "code": told.code,
        "message": told.message,
        "field": told.field,
        "line": told.line,
        "request_id": request_id,
    }
    return {"error": detail | _about(told)}


def in_openai(told: Told, _: str = "") -> dict[str, Any]:
    """In OpenAI's; an event of a stream has the same."""
    body = openai_error(told.fault, told.code, told.message, told.field)
    body["error"] |= _about(told)
    return body


def in_anthropic(told: Told, request_id: str) -> dict[str, Any]:
    """In Anthropic's; an event of a stream has the same."""
    body = anthropic_error(told.fault, told.message)
    body["error"] |= _about(told)
    return {**body, "request_id": request_id}


SHAPES: Final[Mapping[Dialect, Callable[[Told, str], dict[str, Any]]]] = {
    Dialect.NATIVE: native_error,
    Dialect.OPENAI: in_openai,
    Dialect.ANTHROPIC: in_anthropic,
}


def _about(told: Told) -> dict[str, str]:
    return {"status_url": told.status_url} if told.status_url else {}
