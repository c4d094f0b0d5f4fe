"""What calls would have cost otherwise: without a cache, or at another deployment."""

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

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
    saved = cached_tokens * (rates["input"] - rates["cached"]) * NANO_PER_MILLIONTH
    return int(saved.to_integral_value(rounding=ROUND_HALF_UP))


def _rates(words: str, input_tokens: int) -> Iterator[tuple[str, Decimal]]:
    """USD per million tokens of an input of that length."""
    for name, base, steps in RATE.findall(words):
        rate = Decimal(base)
        for start, price in ABOVE.findall(steps):
            if input_tokens > int(start):
                rate = Decimal(price)
        yield name, rate
