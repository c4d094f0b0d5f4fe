"""The models that can be named, as OpenAI's API lists them, and as Anthropic's does."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import ORJSONResponse, Response
from pydantic import BaseModel

from api.deps import AnyParts, Parts, Reader
from api.error_shapes import Dialect, dialect_of
from api.errors import error_responses
from shared.domain.errors import UnknownModelError

router = APIRouter(prefix="/v1/models", tags=["openai"])
OURS: Final = "promptmill"
"""Whose the routes are."""
NOBODY_KNOWS: Final = "1970-01-01T00:00:00Z"
"""When a model was released: Anthropic's API says so where it does not know, either."""


class ModelRead(BaseModel):
    """A name that requests may give as `model`, in OpenAI's shape."""

    id: str
    object: str = "model"
    created: int = 0
    """Nobody knows."""
    owned_by: str
    """Its first provider; of a route: promptmill."""


class ModelList(BaseModel):
    """All names; in Anthropic's shape with an `anthropic-version` header."""

    object: str = "list"
    data: list[ModelRead]


@router.get(
    "",
    operation_id="list_openai_models",
    summary="List models as through OpenAI's API",
    response_model=ModelList,
    responses=error_responses(dialect=Dialect.OPENAI),
)
async def list_models(http: Request, parts: AnyParts, _: Reader) -> Response:
    """Models of every provider, their other names, and routes, each as a name of its own."""
    names = dict(_names(parts))
    if dialect_of(http.scope) is Dialect.OPENAI:
        data = [ModelRead(id=name, owned_by=owner) for name, owner in names.items()]
        return ORJSONResponse(ModelList(data=data).model_dump())
    ids = list(names)
    page = {"has_more": False, "first_id": ids[0], "last_id": ids[-1]}
    return ORJSONResponse({"data": [_as_anthropic(parts, name) for name in ids], **page})


@router.get(
    "/{model:path}",
    operation_id="get_openai_model",
    summary="Read a model as through OpenAI's API",
    response_model=ModelRead,
    responses=error_responses(400, 404, dialect=Dialect.OPENAI),
)
async def get_model(
    http: Request, parts: AnyParts, _: Reader, model: Annotated[str, Path(max_length=256)]
) -> Response:
    """One name; in Anthropic's shape with an `anthropic-version` header."""
    owner = dict(_names(parts)).get(model)
    if owner is None:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise UnknownModelError(message, field="model")
    if dialect_of(http.scope) is Dialect.OPENAI:
        return ORJSONResponse(ModelRead(id=model, owned_by=owner).model_dump())
    return ORJSONResponse(_as_anthropic(parts, model))


def _names(parts: Parts) -> Iterator[tuple[str, str]]:
    """Every name and whose it is."""
    catalog = parts.catalog
    for model in catalog.models.values():
        yield model.id, model.provider
    for alias, name in sorted(catalog.aliases.items()):
        yield alias, catalog.models[name].provider
    for route in sorted(parts.routes.of(catalog)):
        yield route, OURS


def _as_anthropic(parts: Parts, name: str) -> Mapping[str, Any]:
    catalog = parts.catalog
    model = catalog.models.get(catalog.aliases.get(name, name))
    told = {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": NOBODY_KNOWS,
        "lifecycle": "active",
    }
    if model is None:
        return told
    return told | {"max_input_tokens": model.context_window, "max_tokens": model.max_output}
