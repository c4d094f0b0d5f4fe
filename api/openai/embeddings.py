"""OpenAI's embeddings over HTTP: texts become vectors."""

from typing import Final

from fastapi import APIRouter, Request, Response

from api.bodies import body_of
from api.deps import AnyParts, Writer
from api.error_shapes import Dialect
from api.errors import WAITING, error_responses
from api.openai.generate import Generation
from api.openai.schemas import Embedded, EmbeddingBody
from shared.faces.openai_request import EMBEDDINGS

router = APIRouter(prefix="/v1", tags=["openai"])
EXAMPLE: Final = {"model": "text-embedding-3-small", "input": ["blue", "red"]}


@router.post(
    EMBEDDINGS.removeprefix("/v1"),
    operation_id="create_embedding",
    summary="Embed texts as through OpenAI's API",
    response_model=Embedded,
    responses=error_responses(*WAITING, dialect=Dialect.OPENAI),
    openapi_extra=body_of(EmbeddingBody, example=EXAMPLE),
)
async def create_embedding(http: Request, parts: AnyParts, caller: Writer) -> Response:
    """A vector for each text, as numbers or, with `encoding_format: base64`, as bytes."""
    return await Generation(EMBEDDINGS, http, parts, caller).reply()
