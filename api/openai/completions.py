"""OpenAI's legacy completions over HTTP: a prompt is continued."""

from typing import Final

from fastapi import APIRouter, Request, Response

from api.bodies import body_of
from api.deps import AnyParts, Writer
from api.openai.chat import RESPONSES
from api.openai.generate import Generation
from api.openai.schemas import Answered, CompletionBody
from shared.faces.openai_request import COMPLETIONS

router = APIRouter(prefix="/v1", tags=["openai"])
EXAMPLE: Final = {"model": "gpt-3.5-turbo-instruct", "prompt": "The sky is"}


@router.post(
    COMPLETIONS.removeprefix("/v1"),
    operation_id="create_completion",
    summary="Continue a prompt as through OpenAI's API",
    response_model=Answered,
    responses=RESPONSES,
    openapi_extra=body_of(CompletionBody, example=EXAMPLE),
)
async def create_completion(http: Request, parts: AnyParts, caller: Writer) -> Response:
    """The whole text, or with `stream` its chunks."""
    return await Generation(COMPLETIONS, http, parts, caller).reply()
