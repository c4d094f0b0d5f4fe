"""What a provider's headers say it would still take."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from worker.adapters.base import Rate


@dataclass(frozen=True, slots=True)
class Told:
    """Which limit a header tells of."""

    limit: str
    rounded_by: int = 0
    """So much more may be left than it says: taken for use by others, what is only rounded away
    would cost a small account a part of its quota."""


Headers = Mapping[str, Told]
"""By name."""
OPENAI: Final[Headers] = {
    "x-ratelimit-remaining-requests": Told("requests"),
    "x-ratelimit-remaining-tokens": Told("tokens"),
}
# Tokens are rounded to thousands. Its `tokens` are whichever of the two is nearer to its end: they
# say nothing by themselves.
ANTHROPIC: Final[Headers] = {
    "anthropic-ratelimit-requests-remaining": Told("requests"),
    "anthropic-ratelimit-input-tokens-remaining": Told("input_tokens", rounded_by=500),
    "anthropic-ratelimit-output-tokens-remaining": Told("output_tokens", rounded_by=500),
}


def rate_of(headers: Mapping[str, str], known: Headers) -> Rate:
    """The most that may be left of each limit which the reply tells of."""
    left: dict[str, int] = {}
    for header, told in known.items():
        with suppress(KeyError, ValueError):
            left[told.limit] = max(int(headers[header]), 0) + told.rounded_by
    return left
