"""A model's prices as integers: what any usage costs, to the nano-USD."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from genai_prices.types import ModelPrice, Tier, TieredPrices

from shared.catalog.prices import Prices
from shared.domain.generation import Usage

RATE_UNITS: Final = 10**6
"""Rates are integers of a millionth of a nano-USD: exact for every listed price."""
KINDS: Final = (
    ("input", "input_mtok", None),
    ("cached", "cache_read_mtok", "input"),
    ("cache_write", "cache_write_mtok", "input"),
    ("cache_write_1h", "cache_write_1h_mtok", "cache_write"),
    ("audio_input", "input_audio_mtok", "input"),
    ("output", "output_mtok", None),
    ("reasoning", "output_reasoning_mtok", "output"),
    ("audio_output", "output_audio_mtok", "output"),
    ("search", "web_searches_kcount", None),
    ("request", "requests_kcount", None),
)
"""A rate, its name in the price data, and the rate that holds where the data has none."""
PER_THOUSAND: Final = "_kcount"
INSTEAD: Final = {name: instead for name, _, instead in KINDS}
PRICE: Final = "price"
"""In a card's source: all its prices in words."""
FREE: Final = "free"
UNIT: Final = "USD per million tokens, per thousand searches or requests"
SAID: Final = re.compile(r"(\w+) (\S+)((?: \(above \d+: \S+\))*)")
ABOVE: Final = re.compile(r"\(above (\d+): (\S+)\)")


@dataclass(frozen=True, slots=True)
class Rates:
    """What one token, search or request costs, in RATE_UNITS."""

    input: int
    cached: int
    cache_write: int
    cache_write_1h: int
    audio_input: int
    output: int
    reasoning: int
    audio_output: int
    search: int
    request: int

    @property
    def dearest_input(self) -> int:
        """A token of input, whatever becomes of it."""
        return max(self.input, self.cached, self.cache_write, self.cache_write_1h, self.audio_input)

    @property
    def dearest_output(self) -> int:
        """A token of output, whatever it holds."""
        return max(self.output, self.reasoning, self.audio_output)

    def cost_nano(self, usage: Usage) -> int:
        """The cost of one request in nano-USD, halves rounded up."""
        cost = self._input(usage) + self._output(usage) + usage.searches * self.search
        return rounded(cost + self.request)

    def _input(self, usage: Usage) -> int:
        write, write_1h = usage.cache_write_tokens, usage.cache_write_1h_tokens
        known = usage.cached_tokens + write + write_1h
        cost = (
            usage.cached_tokens * self.cached
            + write * self.cache_write
            + write_1h * self.cache_write_1h
        )
        rest = max(usage.input_tokens - known, 0)
        if usage.audio_input_tokens:
            # No usage says how much of the audio was cached: as little as can be.
            audio = min(usage.audio_input_tokens, rest)
            return cost + audio * self.audio_input + (rest - audio) * self.input
        return cost + rest * self.input

    def _output(self, usage: Usage) -> int:
        audio = min(usage.audio_output_tokens, usage.output_tokens)
        reasoning = min(usage.reasoning_tokens, usage.output_tokens - audio)
        text = usage.output_tokens - audio - reasoning
        return text * self.output + reasoning * self.reasoning + audio * self.audio_output


@dataclass(frozen=True, slots=True)
class RateCard:
    """A model's rates at one time: by the length of the input."""

    source: dict[str, Any]
    base: Rates
    above: tuple[tuple[int, Rates], ...] = ()
    """From so many input tokens on, exclusive; for all tokens of the call; the longest first."""

    def rates(self, input_tokens: int) -> Rates:
        """Those that hold for an input of this length."""
        for start, rates in self.above:
            if input_tokens > start:
                return rates
        return self.base


def rounded(cost: int) -> int:
    """Whole nano-USD of RATE_UNITS, halves rounded up."""
    return (2 * cost + RATE_UNITS) // (2 * RATE_UNITS)


def usd_per_million(rate: int) -> Decimal:
    """What a million tokens of this rate cost."""
    return Decimal(rate) / 10**9


def rate_card(prices: ModelPrice, source: dict[str, Any]) -> RateCard:
    """The card of a model's prices; `source` gets them in words."""
    starts = {tier.start for price in _priced(prices).values() for tier in _tiers(price)}
    return RateCard(
        source={**source, PRICE: in_words(prices)},
        base=_rates(prices, 0),
        above=tuple((start, _rates(prices, start + 1)) for start in sorted(starts, reverse=True)),
    )


def listed(prices: Prices) -> ModelPrice:
    """A catalog row's prices in the form of the price data."""
    return ModelPrice(
        input_mtok=prices.input,
        cache_read_mtok=prices.cached,
        cache_write_mtok=prices.cache_write,
        cache_write_1h_mtok=prices.cache_write_1h,
        output_mtok=prices.output,
        web_searches_kcount=prices.search,
    )


def in_words(prices: ModelPrice) -> str:
    """All prices in USD, so that a call can be priced again: `input 2 (above 272000: 4), …`."""
    names = {key: name for name, key, _ in KINDS}
    said = {names[key]: "".join(_said(price)) for key, price in _priced(prices).items()}
    if all(price == "0" for price in said.values()):
        return FREE
    # Without its zero a kind would be taken for one that costs what another does.
    told = [f"{name} {price}" for name, price in said.items() if price != "0" or INSTEAD[name]]
    return f"{', '.join(told)}; {UNIT}"


def of_words(words: str) -> ModelPrice:
    """The prices that `in_words` told. Raises ValueError for other words."""
    prices: dict[str, Decimal | TieredPrices] = {}
    keys = {name: key for name, key, _ in KINDS}
    told = words.removesuffix(f"; {UNIT}")
    for part in () if told == FREE else told.split(", "):
        found = SAID.fullmatch(part)
        if found is None or found[1] not in keys:
            raise ValueError(f"no price is told by {part!r}")
        base, above = Decimal(found[2]), ABOVE.findall(found[3])
        tiers = [Tier(int(start), Decimal(price)) for start, price in above]
        prices[keys[found[1]]] = TieredPrices(base, tiers) if tiers else base
    return ModelPrice(**prices)


def _said(price: Decimal | TieredPrices) -> Iterator[str]:
    yield str(_at(price, 0))
    for tier in _tiers(price):
        yield f" (above {tier.start}: {tier.price})"


def _priced(prices: ModelPrice) -> dict[str, Decimal | TieredPrices]:
    found = {key: getattr(prices, key) for _, key, _ in KINDS}
    return {key: price for key, price in found.items() if price is not None}


def _rates(prices: ModelPrice, input_tokens: int) -> Rates:
    found = _priced(prices)
    rates: dict[str, int] = {}
    for name, key, instead in KINDS:
        if key in found:
            per = 10**3 if key.endswith(PER_THOUSAND) else 10**6
            rates[name] = int(_at(found[key], input_tokens) * 10**9 * RATE_UNITS / per)
        else:
            rates[name] = rates[instead] if instead else 0
    return Rates(**rates)


def _at(price: Decimal | TieredPrices, input_tokens: int) -> Decimal:
    """The price for an input of this length."""
    if not isinstance(price, TieredPrices):
        return price
    reached = [tier.price for tier in price.tiers if input_tokens > tier.start]
    return reached[-1] if reached else price.base


def _tiers(price: Decimal | TieredPrices) -> list[Any]:
    return list(price.tiers) if isinstance(price, TieredPrices) else []
