"""The models that can be asked for, over HTTP."""

from collections import defaultdict
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import AnyParts, Reader
from api.errors import error_responses
from shared.catalog.deployments import Capability, Catalog, Model
from shared.db.providers import Standings, read_standings
from shared.domain.generation import RequestKind

router = APIRouter(prefix="/api/v1/models", tags=["catalog"])


class DeploymentRead(BaseModel):
    """One provider of a model."""

    id: str
    provider: str
    upstream: str
    """The provider's own name of the model."""
    callable: bool | None
    """It has a credential and is switched on; None while no worker lives that could say."""


class ModelRead(BaseModel):
    """What callers name in `request.model`."""

    id: str
    object: Literal["model"] = "model"
    kind: RequestKind
    aliases: list[str]
    """Other names of it."""
    context_window: int
    max_output: int
    default_output: int
    """`max_tokens` where a request has none."""
    sampling: bool
    """It takes temperature and its like."""
    capabilities: list[Capability]
    tier: Literal["low", "medium", "high"] | None
    tags: list[str]
    deployments: list[DeploymentRead]
    """Who serves it, the preferred first."""
    callable: bool | None


class ModelList(BaseModel):
    """All models of the catalog."""

    data: list[ModelRead]


@router.get(
    "", operation_id="list_models", summary="Models of the catalog", responses=error_responses()
)
async def list_models(parts: AnyParts, _: Reader) -> ModelList:
    """With their capabilities, limits, other names, and who serves them now."""
    async with parts.database.transaction() as connection:
        standings = await read_standings(connection)
    aliases = defaultdict(list)
    for alias, name in sorted(parts.catalog.aliases.items()):
        aliases[name].append(alias)
    models = parts.catalog.models.values()
    return ModelList(
        data=[_read(parts.catalog, model, aliases[model.id], standings) for model in models]
    )


def _read(catalog: Catalog, model: Model, aliases: list[str], standings: Standings) -> ModelRead:
    deployments = [
        DeploymentRead(
            id=each.id,
            provider=each.provider.id,
            upstream=each.upstream,
            callable=standings.callable(each),
        )
        for each in catalog.plan(model.id)
    ]
    return ModelRead(
        id=model.id,
        kind=model.kind,
        aliases=aliases,
        context_window=model.context_window,
        max_output=model.max_output,
        default_output=model.default_output,
        sampling=model.sampling,
        capabilities=sorted(model.capabilities),
        tier=model.tier,
        tags=list(model.tags),
        deployments=deployments,
        callable=_any([each.callable for each in deployments]),
    )


def _any(callables: list[bool | None]) -> bool | None:
    """True where one can be called, None where nobody said, else False."""
    return True if True in callables else None if None in callables else False
