"""Usage to cost: exact integers of nano-USD out of genai-prices."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from shared.domain.errors import ConfigurationError
from shared.domain.generation import Usage
from shared.domain.money import to_nano

PRICE_PROVIDER: Final = "openai"
PRICE_VERSION: Final = f"genai-prices/{version('genai-prices')}"
RATE_UNITS: Final = 10**6
"""Rates are integers of a millionth of a nano-USD per token: exact for every listed price."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a call cost and by which price, so that it can be priced again."""

    cost_nano: int
    source: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RateCard:
    """A model's prices at one hour; plain rates hold up to `plain_until` input tokens."""

    model: str
    source: dict[str, Any]
    input_rate: int
    cached_rate: int
    output_rate: int
    plain_until: int | None

    def cost_nano(self, usage: Usage) -> int | None:
        """The cost in nano-USD, halves rounded up; None where only the library can tell."""
        if self.plain_until is not None and usage.input_tokens > self.plain_until:
            return None
        cost = (
            (usage.input_tokens - usage.cached_tokens) * self.input_rate
            + usage.cached_tokens * self.cached_rate
            + usage.output_tokens * self.output_rate
        )
        return (2 * cost + RATE_UNITS) // (2 * RATE_UNITS)


def price_of(model: str, usage: Usage, at: datetime) -> Price:
    """The exact cost of `usage` at the price that held at `at`.

    Source: the offline snapshot of genai-prices. Raises ConfigurationError for a model
    without a price.
    """
    card = _rate_card(model, at.astimezone(UTC).replace(minute=0, second=0, microsecond=0))
    cost_nano = card.cost_nano(usage)
    if cost_nano is None:
        cost_nano = to_nano(library_price(model, usage, at))
    return Price(cost_nano, card.source)


def worst_case(model: str, *, input_tokens: int, max_tokens: int, at: datetime) -> int:
    """The most that a call can cost, in nano-USD: nothing cached, every output token used."""
    usage = Usage(input_tokens=input_tokens, output_tokens=max_tokens)
    return price_of(model, usage, at).cost_nano


def library_price(model: str, usage: Usage, at: datetime) -> Decimal:
    """The library's own sum, in USD: right for every price form, and 85 µs a call."""
    priced = PricedUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
    )
    found = calc_price(priced, model, provider_id=PRICE_PROVIDER, genai_request_timestamp=at)
    return Decimal(found.total_price)


@lru_cache(maxsize=1024)
def _rate_card(model: str, hour: datetime) -> RateCard:
    try:
        _, found = get_snapshot().find_provider_model(model, None, PRICE_PROVIDER, None)
    except LookupError:
        message = f"no price is known for model {model!r}: set its price_model in the catalog"
        raise ConfigurationError(message) from None
    prices = found.get_prices(hour)
    input_price = prices.input_mtok or Decimal(0)
    # A model without a cache price bills cached tokens as any other.
    cached_price = input_price if prices.cache_read_mtok is None else prices.cache_read_mtok
    return RateCard(
        model=found.id,
        source={"version": PRICE_VERSION, "model": found.id, "price": str(prices)},
        input_rate=_rate(input_price),
        cached_rate=_rate(cached_price),
        output_rate=_rate(prices.output_mtok or Decimal(0)),
        plain_until=_first_tier(prices),
    )


def _rate(price: Decimal | TieredPrices) -> int:
    """USD per million tokens to a millionth of a nano-USD per token: times 10^9."""
    base = price.base if isinstance(price, TieredPrices) else price
    return int(base * 10**9)


def _first_tier(prices: ModelPrice) -> int | None:
    """Input tokens up to which the base rates hold."""
    tiered = (prices.input_mtok, prices.cache_read_mtok, prices.output_mtok)
    starts = [p.tiers[0].start for p in tiered if isinstance(p, TieredPrices)]
    return min(starts) if starts else None
