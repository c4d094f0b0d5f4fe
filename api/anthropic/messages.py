"""Anthropic's messages over HTTP: a message is a job of the interactive lane and its answer."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel, ConfigDict

from api.bodies import body_of
from api.deps import AnyParts, Reader, Writer
from api.error_shapes import Dialect, in_anthropic
from api.errors import WAITING, error_responses, told_of
from api.faces.ask import Ask, answer, ask, extension_of
from api.faces.heads import dropped, head_of
from api.faces.teller import AnswerTeller
from api.jobs.parse import parse_as, parse_json
from api.jobs.telling import KEEP_ALIVE, stream_of
from api.tokens.routes import TokensAsked
from shared.catalog.tokens import count_inputs
from shared.domain.errors import InvalidRequestError, PromptmillError
from shared.domain.face import Face
from shared.domain.generation import GenerationRequest
from shared.faces.anthropic_reply import message_of
from shared.faces.anthropic_request import MESSAGES, Asked, in_own_words, parameter_of, read_message
from shared.faces.anthropic_stream import PING, MessageStream, event

router = APIRouter(prefix=MESSAGES, tags=["anthropic"])
EXAMPLE: Final = {
    "model": "claude-haiku-4-5",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
}
EVENTS: Final[dict[str, Any]] = {"text/event-stream": {"schema": {"type": "string"}}}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **error_responses(*WAITING, dialect=Dialect.ANTHROPIC),
    200: {"content": EVENTS},
}


class MessageBody(BaseModel):
    """A message as Anthropic's API takes it."""

    model_config = ConfigDict(extra="allow")

    model: str
    """Of any provider: a model, an alias or a route of the catalog."""
    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    stream: bool = False
    promptmill: dict[str, Any] | None = None
    """Fields of a job: lane, deadline_seconds, project, tags, policy, and the like."""


class MessageRead(BaseModel):
    """A message as Anthropic's API gives it."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: str
    role: str
    model: str
    content: list[dict[str, Any]]
    stop_reason: str | None
    usage: dict[str, Any]


class TokenCount(BaseModel):
    """The input tokens of a message."""

    input_tokens: int


@router.post(
    "",
    operation_id="create_message",
    summary="Ask as through Anthropic's API",
    response_model=MessageRead,
    responses=RESPONSES,
    openapi_extra=body_of(MessageBody, example=EXAMPLE),
)
async def create_message(request: Request, parts: AnyParts, caller: Writer) -> Response:
    """The whole message, or with `stream` its events; a client that leaves cancels nothing."""
    raw = await request.body()
    body = parse_json(raw)
    asked = read_message(body)
    try:
        accepted = await ask(parts, caller, request, _ask(raw, body, asked))
    except InvalidRequestError as error:
        raise in_own_words(error) from None
    aside = await dropped(parts, accepted, asked.request, asked.set_aside, parameter_of)
    if not asked.request.get("stream"):
        job = await answer(parts, caller, accepted)
        told = message_of(job.id, job.result or {})
        return ORJSONResponse(told, headers=head_of(accepted, aside, job))
    message = MessageStream(accepted.job_id, asked.request["model"])
    teller = AnswerTeller(accepted.job_id, message, failing(request.state.request_id))
    stream = await stream_of(parts, caller, accepted.job_id, teller)
    stream.headers.update(head_of(accepted, aside))
    stream.body_iterator = with_pings(stream.body_iterator)
    return stream


def failing(request_id: str) -> Callable[[PromptmillError], bytes]:
    """What makes the event that a stream ends with where no answer comes: SDKs raise it."""

    def failed(error: PromptmillError) -> bytes:
        body = in_anthropic(told_of(error), request_id)
        return event("error", error=body["error"], request_id=body["request_id"])

    return failed


async def with_pings(pieces: AsyncIterable[Any]) -> AsyncIterator[Any]:
    """The same; its signs of life are events of this dialect."""
    async for piece in pieces:
        yield PING if piece is KEEP_ALIVE else piece


@router.post(
    "/count_tokens",
    operation_id="count_message_tokens",
    summary="Count a message's input tokens",
    responses=error_responses(400, 404, 413, dialect=Dialect.ANTHROPIC),
    openapi_extra=body_of(MessageBody, example=EXAMPLE),
)
async def count_message_tokens(request: Request, parts: AnyParts, _: Reader) -> TokenCount:
    """As they are counted before a call: exact for text where the vocabulary is known."""
    asked = _generation(read_message(parse_json(await request.body())))
    model = parts.catalog.model(asked.model)
    [tokens] = await asyncio.to_thread(count_inputs, [asked], [model])
    return TokenCount(input_tokens=tokens)


def _ask(raw: bytes, body: Mapping[str, Any], asked: Asked) -> Ask:
    more = {"end_user": asked.end_user} if asked.end_user else {}
    return Ask(
        face=Face.MESSAGE,
        request={**asked.request, "drop_unsupported": True},
        raw=raw,
        body=body,
        more={**more, **extension_of(body)},
    )


def _generation(asked: Asked) -> GenerationRequest:
    """Raises InvalidRequestError that names the parameter of the body."""
    try:
        return parse_as(TokensAsked, {"request": asked.request}).request
    except InvalidRequestError as error:
        error.field = (error.field or "").removeprefix("request.") or None
        error.message = error.message.removeprefix("request.")
        raise in_own_words(error) from None
