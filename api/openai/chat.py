"""OpenAI's chat completions over HTTP: a chat is a job of the interactive lane and its answer."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.bodies import body_of
from api.deps import AnyParts, Writer
from api.error_shapes import Dialect
from api.errors import WAITING, error_responses
from api.openai.generate import Generation
from api.openai.schemas import Answered, ChatBody
from shared.faces.openai_request import CHATS

router = APIRouter(prefix="/v1", tags=["openai"])
EXAMPLE: Final = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
}
EVENTS: Final[dict[str, Any]] = {"text/event-stream": {"schema": {"type": "string"}}}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **error_responses(*WAITING, dialect=Dialect.OPENAI),
    200: {"content": EVENTS},
}
"""Of whatever waits for its answer or streams it."""


@router.post(
    CHATS.removeprefix("/v1"),
    operation_id="create_chat_completion",
    summary="Ask as through OpenAI's API",
    response_model=Answered,
    responses=RESPONSES,
    openapi_extra=body_of(ChatBody, example=EXAMPLE),
)
async def create_chat(http: Request, parts: AnyParts, caller: Writer) -> Response:
    """The whole answer, or with `stream` its chunks; a client that leaves cancels nothing."""
    return await Generation(CHATS, http, parts, caller).reply()
