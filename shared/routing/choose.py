"""Choose models by what a request asks for: tier by complexity and preference, then by score."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from shared.catalog.deployments import TIERS, Capability, Catalog, Model, Tier
from shared.catalog.pricing import worst_case
from shared.domain.errors import ConfigurationError
from shared.domain.generation import RequestKind
from shared.routing.policy import Complexity, Prefer
from shared.routing.strategies import UNPRICED

TIER_FOR: Final[dict[Complexity, dict[Prefer | None, Tier]]] = {
    Complexity.SIMPLE: {
        Prefer.COST: "low", Prefer.SPEED: "low", None: "low", Prefer.QUALITY: "medium",
    },
    Complexity.MODERATE: {
        Prefer.COST: "low", Prefer.SPEED: "low", None: "medium", Prefer.QUALITY: "high",
    },
    Complexity.COMPLEX: {
        Prefer.COST: "medium", Prefer.SPEED: "medium", None: "high", Prefer.QUALITY: "high",
    },
    Complexity.SEARCH: {
        Prefer.COST: "low", Prefer.SPEED: "low", None: "medium", Prefer.QUALITY: "high",
    },
}  # fmt: skip
USUAL_CALL: Final = 1000
"""Tokens in and out by which models are compared."""


def tier_for(complexity: Complexity, prefer: Prefer | None, tier: Tier | None) -> Tier:
    """The tier to choose from; one that the caller names wins."""
    return tier or TIER_FOR[complexity][prefer]


def ranked(
    catalog: Catalog, models: Iterable[Model], tier: Tier, prefer: Prefer | None, at: datetime
) -> list[Model]:
    """The models, the best choice first: those of the tier, then of tiers ever further off.

    Among equals the preferred provider's come first, then the catalog's order decides.
    """
    key = KEYS[prefer]
    wanted = TIERS.index(tier)
    # Of two tiers as far off, whoever minds the bill or the time takes the lower one.
    other_way = -1 if prefer in {Prefer.COST, Prefer.SPEED} else 1

    def rank(model: Model) -> tuple[float, ...]:
        away = TIERS.index(model.tier or "medium") - wanted
        foreign = catalog.preferred not in {None, model.provider}
        return (abs(away), -away * other_way, *key(catalog, model, at), foreign)

    return sorted(models, key=rank)


def eligible(catalog: Catalog, kind: RequestKind, *, searching: bool) -> list[Model]:
    """All that may be chosen where nobody names candidates: those that have a tier.

    Searching ones only where an answer is looked for on the web; one that searches for every
    answer only there.
    """
    return [
        model
        for model in catalog.models.values()
        if model.kind is kind
        and model.tier is not None
        and (
            Capability.WEB_SEARCH in model.capabilities if searching else not model.always_searches
        )
    ]


def _cost(catalog: Catalog, model: Model, at: datetime) -> int:
    """Nano-USD of a usual call; unknown prices come last."""
    try:
        return min(
            (
                worst_case(each, input_tokens=USUAL_CALL, max_tokens=USUAL_CALL, at=at)
                for each in catalog.plan(model.id)
            ),
            default=UNPRICED,
        )
    except ConfigurationError:
        return UNPRICED


Scores = Callable[[Catalog, Model, datetime], Sequence[float]]
KEYS: Final[dict[Prefer | None, Scores]] = {
    Prefer.COST: lambda catalog, model, at: (_cost(catalog, model, at), -model.quality),
    Prefer.SPEED: lambda catalog, model, at: (-model.speed, _cost(catalog, model, at)),
    Prefer.QUALITY: lambda catalog, model, at: (-model.quality, _cost(catalog, model, at)),
    None: lambda catalog, model, at: (-model.speed - model.quality, _cost(catalog, model, at)),
}
"""What is compared within a tier, the smaller the better."""
