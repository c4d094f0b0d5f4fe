"""Usage to cost: exact integers of nano-USD out of genai-prices."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Final

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from shared.domain.errors import ConfigurationError
from shared.domain.generation import Usage
from shared.domain.money import to_nano

PRICE_PROVIDER: Final = "openai"
PRICE_VERSION: Final = f"genai-prices/{version('genai-prices')}"


@dataclass(frozen=True, slots=True)
class Price:
    """What a call cost and by which price, so that it can be priced again."""

    cost_nano: int
    source: dict[str, Any]


def price_of(model: str, usage: Usage, at: datetime) -> Price:
    """The exact cost of `usage` at the price that held at `at`.

    Source: the offline snapshot of genai-prices. Raises ConfigurationError for a model
    without a price.
    """
    priced = PricedUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
    )
    try:
        found = calc_price(
            priced, model, provider_id=PRICE_PROVIDER, genai_request_timestamp=at
        )
    except LookupError:
        message = f"no price is known for model {model!r}: set its price_model in the catalog"
        raise ConfigurationError(message) from None
    return Price(
        to_nano(Decimal(found.total_price)),
        {"version": PRICE_VERSION, "model": found.model.id, "price": str(found.model_price)},
    )


def worst_case(model: str, *, input_tokens: int, max_tokens: int, at: datetime) -> int:
    """The most that a call can cost, in nano-USD: nothing cached, every output token used."""
    return price_of(
        model, Usage(input_tokens=input_tokens, output_tokens=max_tokens), at
    ).cost_nano
