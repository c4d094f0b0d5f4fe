"""What calls would have cost otherwise: without a cache, or at another deployment."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from shared.catalog.deployments import Deployment
from shared.catalog.pricing import list_prices
from shared.domain.errors import ConfigurationError

RATE: Final = re.compile(r"(?:^|, )(input|cached) ([0-9.E+-]+)((?: \(above \d+: [0-9.E+-]+\))*)")
ABOVE: Final = re.compile(r"\(above (\d+): ([0-9.E+-]+)\)")
NANO_PER_MILLIONTH: Final = 1000
"""A price of one USD per million tokens is so many nano-USD a token."""


def saved_by_cache(words: str, *, input_tokens: int, cached_tokens: int) -> int:
    """Nano-USD that the cached tokens of a call would have cost more as any other input.

    `words` is the price as it is kept with the attempt. Where it names no price of cached tokens
    they cost what all input costs, and nothing was saved.
    """
    if not cached_tokens:
        return 0
    rates = dict(_rates(words, input_tokens))
    if "input" not in rates or "cached" not in rates:
        return 0
    return _nano(cached_tokens * (rates["input"] - rates["cached"]))


def _rates(words: str, input_tokens: int) -> Iterator[tuple[str, Decimal]]:
    """USD per million tokens of an input of that length."""
    for name, base, steps in RATE.findall(words):
        rate = Decimal(base)
        for start, price in ABOVE.findall(steps):
            if input_tokens > int(start):
                rate = Decimal(price)
        yield name, rate


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens of many calls of one deployment."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A deployment and what the same tokens cost there by its list prices."""

    deployment: Deployment
    cost_nano: int


def cheapest(candidates: Iterable[Deployment], used: Used, at: datetime) -> Elsewhere | None:
    """Where the same tokens cost the least; None where nobody has a price."""
    priced = (
        Elsewhere(each, cost)
        for each in candidates
        if (cost := listed_cost(each, used, at)) is not None
    )
    return min(priced, key=lambda each: (each.cost_nano, each.deployment.id), default=None)


def listed_cost(deployment: Deployment, used: Used, at: datetime) -> int | None:
    """Nano-USD by the list prices of short inputs at the standard tier; None where unknown."""
    try:
        prices = list_prices(deployment, at)
    except ConfigurationError:
        return None
    new = used.input_tokens - used.cached_tokens
    usd_a_million = (
        new * prices.input + used.cached_tokens * prices.cached + used.output_tokens * prices.output
    )
    return _nano(usd_a_million)


def cacheable(deployment: Deployment, used: Used, at: datetime) -> int:
    """Nano-USD that would be saved besides if a cache had held all of the input; 0 if unknown."""
    try:
        prices = list_prices(deployment, at)
    except ConfigurationError:
        return 0
    new = used.input_tokens - used.cached_tokens
    return max(_nano(new * (prices.input - prices.cached)), 0)


def _nano(usd_a_million: Decimal) -> int:
    """Of tokens times USD per million tokens."""
    return int((usd_a_million * NANO_PER_MILLIONTH).to_integral_value(rounding=ROUND_HALF_UP))
