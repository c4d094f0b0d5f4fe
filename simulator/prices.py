"""What the simulated provider bills: exact prices per token of its models."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices

NANO_PER_TOKEN: Final = Decimal(1000)
"""One USD per million tokens is a thousand nano-USD per token."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Nano-USD per token."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def cost_nano(self, prompt: int, cached: int, completion: int) -> int:
        """The bill of one call, halves rounded up."""
        exact = (prompt - cached) * self.input + cached * self.cached + completion * self.output
        return int(exact.to_integral_value(rounding=ROUND_HALF_UP))


def model_prices(overrides: list[str]) -> dict[str, ModelPrice]:
    """Every chat model of OpenAI with a price per token, and `NAME=IN,CACHED,OUT` overrides.

    Override prices are USD per million tokens. Raises ValueError that names a bad one.
    """
    now = datetime.now(UTC)
    openai = next(provider for provider in get_snapshot().providers if provider.id == "openai")
    prices: dict[str, ModelPrice] = {}
    for model in openai.models:
        found = model.get_prices(now)
        if found.input_mtok is not None and found.output_mtok is not None:
            cached = found.input_mtok if found.cache_read_mtok is None else found.cache_read_mtok
            prices[model.id] = ModelPrice(
                *map(_rate, (found.input_mtok, cached, found.output_mtok))
            )
    for override in overrides:
        name, _, numbers = override.partition("=")
        try:
            given, cached, out = (Decimal(number) for number in numbers.split(","))
        except (ValueError, ArithmeticError):
            message = f"--model {override!r}: write NAME=IN,CACHED,OUT in USD per million tokens"
            raise ValueError(message) from None
        prices[name] = ModelPrice(*map(_rate, (given, cached, out)))
    return prices


def _rate(price: Any) -> Decimal:
    base = price.base if isinstance(price, TieredPrices) else price
    return Decimal(base) * NANO_PER_TOKEN
