"""The models that can be asked for, over HTTP."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import AnyParts, Reader
from api.errors import error_responses
from shared.catalog.deployments import Capability, Deployment, Model
from shared.catalog.pricing import list_prices
from shared.db.providers import Standings, read_standings
from shared.domain.clock import SystemClock
from shared.domain.generation import RequestKind

router = APIRouter(prefix="/api/v1/models", tags=["catalog"])


class PricesRead(BaseModel):
    """USD per million tokens, as exact decimals."""

    input: str
    cached_input: str
    """Of input that the provider reads from its cache."""
    output: str
    in_words: str
    """All that a call can cost: long inputs, caches, searches."""


class DeploymentRead(BaseModel):
    """One provider of a model."""

    id: str
    provider: str
    upstream: str
    """The provider's own name of the model."""
    prices: PricesRead
    callable: bool | None
    """It is switched on and a worker is ready for it; None where no living worker has said."""


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
    speed: int
    """1 to 5, 5 the fastest."""
    quality: int
    """1 to 5, 5 the best."""
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
    catalog, at = parts.catalog, SystemClock().now()
    aliases = defaultdict(list)
    for alias, name in sorted(catalog.aliases.items()):
        aliases[name].append(alias)
    served = {
        model.id: [_deployment(each, standings, at) for each in catalog.plan(model.id)]
        for model in catalog.models.values()
    }
    models = catalog.models.values()
    return ModelList(data=[_read(each, aliases[each.id], served[each.id]) for each in models])


def _deployment(deployment: Deployment, standings: Standings, at: datetime) -> DeploymentRead:
    prices = list_prices(deployment, at)
    return DeploymentRead(
        id=deployment.id,
        provider=deployment.provider.id,
        upstream=deployment.upstream,
        prices=PricesRead(
            input=_plain(prices.input),
            cached_input=_plain(prices.cached),
            output=_plain(prices.output),
            in_words=prices.in_words,
        ),
        callable=standings.callable(deployment),
    )


def _plain(usd: Decimal) -> str:
    return f"{usd.normalize():f}"


def _read(model: Model, aliases: list[str], deployments: list[DeploymentRead]) -> ModelRead:
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
        speed=model.speed,
        quality=model.quality,
        tags=list(model.tags),
        deployments=deployments,
        callable=_any([each.callable for each in deployments]),
    )


def _any(callables: list[bool | None]) -> bool | None:
    """True where one can be called, None where nobody said, else False."""
    return True if True in callables else None if None in callables else False
