"""Usage to cost: exact integers of nano-USD, and the most that a call can cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo

from shared.catalog.deployments import Catalog, Deployment
from shared.catalog.families import family_of
from shared.catalog.prices import Prices
from shared.catalog.rate_card import (
    PRICE,
    RateCard,
    Rates,
    listed,
    of_words,
    rate_card,
    rounded,
    usd_per_million,
)
from shared.domain.errors import ConfigurationError
from shared.domain.generation import Usage

PRICE_VERSION: Final = f"genai-prices/{version('genai-prices')}"
PRICED_AS: Final = {"azure": ("openai", "azure")}
"""Whose lists are read, the first that knows the model; else the provider's own. Azure asks what
OpenAI asks, but the price data knows service tiers for OpenAI alone."""
CONTEXTS: Final = {
    "batch": {"processing": "batch"},
    "fast": {"service_tier": "fast", "speed": "fast"},
    "on_demand_flex": {"service_tier": "flex"},
    "on_demand_priority": {"service_tier": "priority"},
}
"""The price data's words for a service tier, where they are not `service_tier` itself."""
COMPUTED: Final = "computed_nano"
"""In a price's source: what the prices say where the provider told what it billed."""
BILLED_SEARCHES: Final = "billed_searches"
"""In a price's source: the searches that are billed, where not all are."""
SLOT_SECONDS: Final = 1800
"""Prices change at whole and half hours."""
SLOTS_AHEAD: Final = 2
"""A call that is released now may begin, and be priced, an hour later."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a call cost and by which price, so that it can be priced again."""

    cost_nano: int
    source: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPrices:
    """USD per million tokens of a call whose input is short, at the standard service tier."""

    input: Decimal
    cached: Decimal
    output: Decimal
    in_words: str
    """Those and all others: of long inputs, caches, searches."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The dearest rates that a call can meet whose input is longer than `start`."""

    start: int
    input: int
    output: int
    search: int
    request: int


def price_of(deployment: Deployment, usage: Usage, at: datetime) -> Price:
    """The exact cost of a call that was sent at `at`, a time with a zone.

    What the provider says that it billed wins; what the prices say stays in the source then, as
    `computed_nano`. Prices: the provider's or the model's row, else the offline snapshot of
    genai-prices. Raises ConfigurationError where nobody knows the price.
    """
    searched = {}
    if family_of(deployment.model.priced_as).one_search and usage.searches > 1:
        usage, searched = replace(usage, searches=1), {BILLED_SEARCHES: 1}
    try:
        card = _card(*_terms(deployment), usage.service_tier, _slot(at))
    except ConfigurationError:
        if usage.cost_nano is None:
            raise
        return Price(usage.cost_nano, {"version": "provider", "model": deployment.model.priced_as})
    cost_nano, source = card.rates(usage.input_tokens).cost_nano(usage), card.source | searched
    if usage.cost_nano is None:
        return Price(cost_nano, source)
    return Price(usage.cost_nano, {**source, COMPUTED: cost_nano})


def priced_again(usage: Mapping[str, Any], price: Mapping[str, Any]) -> int | None:
    """What the prices that were kept with an attempt make of its usage, nano-USD.

    Both as the attempt's row keeps them. None where only the provider knew the price. It equals
    the attempt's cost, or the `computed_nano` of its price where the provider told another.
    """
    if PRICE not in price:
        return None
    told = Usage(**usage)
    told = replace(told, searches=price.get(BILLED_SEARCHES, told.searches))
    card = rate_card(of_words(price[PRICE]), {})
    return card.rates(told.input_tokens).cost_nano(told)


def worst_case(
    deployment: Deployment, *, input_tokens: int, max_tokens: int, searches: int = 0, at: datetime
) -> int:
    """The most that a call can cost, in nano-USD, that is released at `at`.

    Every token of input is billed at the dearest input rate (new, cached, written to a cache or
    heard), every token of output used, every search made; at the prices of the longest input,
    and of the next hour. The call is made at the standard service tier.
    """
    ceilings = _ceilings(*_terms(deployment), _slot(at))
    most = next(ceiling for ceiling in ceilings if input_tokens > ceiling.start)
    return rounded(
        input_tokens * most.input + max_tokens * most.output + searches * most.search + most.request
    )


def most_searches(deployment: Deployment, *, asked: bool) -> int:
    """The most web searches that a call can be billed for; `asked`: its request lets it search."""
    model = deployment.model
    return family_of(model.priced_as).billed_searches if asked or model.always_searches else 0


def list_prices(deployment: Deployment, at: datetime) -> ListPrices:
    """What a call there costs that is sent at `at`. Raises ConfigurationError where unknown."""
    card = _card(*_terms(deployment), None, _slot(at))
    return ListPrices(
        input=usd_per_million(card.base.input),
        cached=usd_per_million(card.base.cached),
        output=usd_per_million(card.base.output),
        in_words=card.source[PRICE],
    )


def unpriced(catalog: Catalog, at: datetime) -> list[str]:
    """A line for each model whose calls nobody could hold money for, by its provider."""
    lines = {}
    for deployment in catalog.deployments():
        try:
            worst_case(deployment, input_tokens=0, max_tokens=0, at=at)
        except ConfigurationError as error:
            lines[error.message] = f"models.{deployment.model.id}: {error.message}"
    return list(lines.values())


def _terms(deployment: Deployment) -> tuple[str, str, Prices | None]:
    """What its price hangs on: a list, a name on it, and the prices that win over the list."""
    listed_by = deployment.price_provider or deployment.provider.id
    return listed_by, deployment.model.priced_as, deployment.prices


def _slot(at: datetime) -> int:
    return int(at.timestamp()) // SLOT_SECONDS


@lru_cache(maxsize=1024)
def _card(
    provider: str, model: str, prices: Prices | None, service_tier: str | None, slot: int
) -> RateCard:
    if prices is not None:
        return rate_card(listed(prices), {"version": "catalog", "model": model})
    found_at, found = _found(provider, model)
    at = datetime.fromtimestamp(slot * SLOT_SECONDS, UTC)
    source = {"version": PRICE_VERSION, "provider": found_at, "model": found.id}
    if service_tier is None:
        return rate_card(found.get_prices(at), source)
    tier = service_tier.lower()
    context = CONTEXTS.get(tier, {"service_tier": tier})
    return rate_card(found.get_prices(at, context), {**source, "service_tier": tier})


def _found(provider: str, model: str) -> tuple[str, ModelInfo]:
    """The list that knows the model, and its entry there."""
    for name in PRICED_AS.get(provider, (provider,)):
        try:
            found_at, found = get_snapshot().find_provider_model(model, None, name, None)
        except LookupError:
            continue
        return found_at.id, found
    message = (
        f"no price of {provider!r} is known for model {model!r}: "
        "set its price_model or its prices in the catalog, or the provider's price_provider"
    )
    raise ConfigurationError(message)


@lru_cache(maxsize=1024)
def _ceilings(provider: str, model: str, prices: Prices | None, slot: int) -> tuple[Ceiling, ...]:
    """The longest input first; the last one holds for an empty input, too."""
    cards = [_card(provider, model, prices, None, slot + n) for n in range(SLOTS_AHEAD + 1)]
    starts = {start for card in cards for start, _ in card.above}
    reached: list[Rates] = []
    ceilings = []
    for start in (-1, *sorted(starts)):
        reached += [card.rates(start + 1) for card in cards]
        ceilings.append(
            Ceiling(
                start=start,
                input=max(rates.dearest_input for rates in reached),
                output=max(rates.dearest_output for rates in reached),
                search=max(rates.search for rates in reached),
                request=max(rates.request for rates in reached),
            )
        )
    return tuple(reversed(ceilings))
