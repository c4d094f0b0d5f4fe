"""What a provider's headers say it would still take."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from worker.adapters.base import Rate

OPENAI: Final[Mapping[str, str]] = {
    "x-ratelimit-remaining-requests": "requests",
    "x-ratelimit-remaining-tokens": "tokens",
}
# Its `tokens` are whichever of the two is nearer to its end: they say nothing by themselves.
ANTHROPIC: Final[Mapping[str, str]] = {
    "anthropic-ratelimit-requests-remaining": "requests",
    "anthropic-ratelimit-input-tokens-remaining": "input_tokens",
    "anthropic-ratelimit-output-tokens-remaining": "output_tokens",
}


def rate_of(headers: Mapping[str, str], names: Mapping[str, str]) -> Rate:
    """What is left of each limit that the reply tells of; `names`: of the headers to limits."""
    left: dict[str, int] = {}
    for header, limit in names.items():
        with suppress(KeyError, ValueError):
            left[limit] = max(int(headers[header]), 0)
    return left
