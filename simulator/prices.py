"""What the simulated providers bill: exact prices per token of their models."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices

NANO_PER_TOKEN: Final = Decimal(1000)
"""One USD per million tokens is a thousand nano-USD per token."""
NANO_PER_SEARCH: Final = Decimal(1_000_000)
"""One USD per thousand searches."""
OPENAI: Final = "openai"
PRICED_AS: Final = {
    "openai": OPENAI,
    "azure": OPENAI,
    "compatible": OPENAI,
    "anthropic": "anthropic",
    "gemini": "google",
    "xai": "x-ai",
    "perplexity": "perplexity",
}
"""The list of genai-prices that each provider bills by."""
NOT_SERVED: Final = {
    OPENAI: re.compile(
        r"^(ada|babbage|curie|davinci|text-(?!embedding)|ft:|computer-use)"
        r"|image|realtime|transcribe|tts|:extended|\.ft-"
    ),
    "google": re.compile(r"^claude|image|tts|live|omni|maas"),
    "x-ai": re.compile(r"voice"),
    "perplexity": re.compile(r"pplx-"),
}
"""Priced per token, but not served by these wires (or not a whole name)."""
DATED: Final = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|\d{3})$")
"""A name may say the day of its version."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Nano-USD per token, of one tier; `tiers` are those of longer prompts."""

    input: Decimal
    cached: Decimal
    output: Decimal
    cache_write: Decimal | None = None
    """None: writing to the cache costs nothing beside the input."""
    cache_write_1h: Decimal | None = None
    search: Decimal = Decimal(0)
    """Nano-USD per web search."""
    tiers: tuple[tuple[int, "ModelPrice"], ...] = ()
    """Above so many input tokens, the whole call costs this."""

    def cost_nano(
        self,
        prompt: int,
        cached: int,
        completion: int,
        *,
        cache_write: int = 0,
        cache_write_1h: int = 0,
        searches: int = 0,
    ) -> int:
        """The bill of one call, halves rounded up; `prompt` includes all that is cached."""
        price = self if not self.tiers else self._tier(prompt)
        exact = (prompt - cached) * price.input + cached * price.cached + completion * price.output
        if cache_write:
            exact += cache_write * ((price.cache_write or price.input) - price.input)
        if cache_write_1h:
            exact += cache_write_1h * ((price.cache_write_1h or price.input) - price.input)
        if searches:
            exact += searches * price.search
        return int(exact.to_integral_value(rounding=ROUND_HALF_UP))

    def _tier(self, prompt: int) -> "ModelPrice":
        place = bisect_left([start for start, _ in self.tiers], prompt)
        return self.tiers[place - 1][1] if place else self


def model_prices(overrides: list[str], provider: str = OPENAI) -> dict[str, ModelPrice]:
    """Every model of a provider with a price per token, and `NAME=IN,CACHED,OUT` overrides.

    Override prices are USD per million tokens. Raises ValueError that names a bad one.
    """
    listed = _listed(PRICED_AS[provider], datetime.now(UTC))
    return listed | dict(_override(text) for text in overrides)


def price_of(prices: dict[str, ModelPrice], model: str) -> ModelPrice | None:
    """The price of a model, also where its name says a version's day."""
    return prices.get(model) or prices.get(DATED.sub("", model))


def _listed(name: str, now: datetime) -> dict[str, ModelPrice]:
    listed = next(provider for provider in get_snapshot().providers if provider.id == name)
    not_served = NOT_SERVED.get(name)
    prices: dict[str, ModelPrice] = {}
    for model in listed.models:
        found = model.get_prices(now)
        if found.input_mtok is None or (not_served and not_served.search(model.id)):
            continue
        if found.output_mtok is None and "embedding" not in model.id:
            continue
        prices[model.id] = _price(found)
    return prices


def _price(found: Any) -> ModelPrice:
    starts = [tier.start for tier in getattr(found.input_mtok, "tiers", ())]
    tiers = tuple((start, _tier(found, start)) for start in starts)
    base = _tier(found, 0)
    return ModelPrice(
        base.input,
        base.cached,
        base.output,
        base.cache_write,
        base.cache_write_1h,
        base.search,
        tiers,
    )


def _tier(found: Any, start: int) -> ModelPrice:
    """The prices of prompts that are longer than `start` tokens."""
    cached = found.input_mtok if found.cache_read_mtok is None else found.cache_read_mtok
    searches = getattr(found, "web_searches_kcount", None)
    return ModelPrice(
        _rate(found.input_mtok, start),
        _rate(cached, start),
        _rate(found.output_mtok or Decimal(0), start),
        _written(found.cache_write_mtok, start),
        _written(getattr(found, "cache_write_1h_mtok", None), start),
        Decimal(0) if searches is None else Decimal(searches) * NANO_PER_SEARCH,
    )


def _override(text: str) -> tuple[str, ModelPrice]:
    name, _, numbers = text.rpartition("=")
    try:
        given, cached, out = (Decimal(number) for number in numbers.split(","))
    except (ValueError, ArithmeticError):
        given = cached = out = Decimal("NaN")
    if not name or not all(price.is_finite() and price >= 0 for price in (given, cached, out)):
        raise ValueError(f"--model {text}: write NAME=IN,CACHED,OUT in USD per million tokens")
    given, cached, out = (price * NANO_PER_TOKEN for price in (given, cached, out))
    return name, ModelPrice(given, cached, out)


def _written(price: Any, start: int) -> Decimal | None:
    return None if price is None else _rate(price, start)


def _rate(price: Any, start: int) -> Decimal:
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start <= start]
        price = reached[-1] if start and reached else price.base
    return Decimal(price) * NANO_PER_TOKEN
