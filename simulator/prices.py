"""What the simulated provider bills: exact prices per token of its models."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices

NANO_PER_TOKEN: Final = Decimal(1000)
"""One USD per million tokens is a thousand nano-USD per token."""
NOT_CHAT: Final = re.compile(
    r"^(ada|babbage|curie|davinci|text-|ft:|computer-use)"
    r"|image|instruct|realtime|transcribe|tts|:extended|\.ft-"
)
"""Priced per token, but not served under /v1/chat/completions (or not a whole name)."""


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
    return _listed(datetime.now(UTC)) | dict(_override(text) for text in overrides)


def _listed(now: datetime) -> dict[str, ModelPrice]:
    openai = next(provider for provider in get_snapshot().providers if provider.id == "openai")
    prices: dict[str, ModelPrice] = {}
    for model in openai.models:
        found = model.get_prices(now)
        if found.input_mtok is None or found.output_mtok is None or NOT_CHAT.search(model.id):
            continue
        cached = found.input_mtok if found.cache_read_mtok is None else found.cache_read_mtok
        prices[model.id] = ModelPrice(*map(_rate, (found.input_mtok, cached, found.output_mtok)))
    return prices


def _override(text: str) -> tuple[str, ModelPrice]:
    name, _, numbers = text.rpartition("=")
    try:
        given, cached, out = (Decimal(number) for number in numbers.split(","))
    except (ValueError, ArithmeticError):
        given = cached = out = Decimal("NaN")
    if not name or not all(price.is_finite() and price >= 0 for price in (given, cached, out)):
        raise ValueError(f"--model {text}: write NAME=IN,CACHED,OUT in USD per million tokens")
    return name, ModelPrice(*map(_rate, (given, cached, out)))


def _rate(price: Any) -> Decimal:
    """The price of the lowest tier: the simulator knows no long-context surcharge."""
    base = price.base if isinstance(price, TieredPrices) else price
    return Decimal(base) * NANO_PER_TOKEN
