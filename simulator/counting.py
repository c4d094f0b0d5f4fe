"""How many tokens a prompt has."""

from collections.abc import Sequence
from typing import Final

import toktok

ENCODING: Final = "o200k_base"
PER_MESSAGE: Final = 3
PER_REPLY: Final = 3
PER_IMAGE: Final = 85
"""A small image, whatever its size."""
PER_FILE: Final = 250
"""A page, whatever its size."""
CHARACTERS_PER_TOKEN: Final = 4
"""Of what the simulator writes."""


def count_prompt(texts: Sequence[str]) -> int:
    """The tokens of a chat prompt of these messages, as OpenAI documents the count."""
    return count_texts(texts) + PER_MESSAGE * len(texts) + PER_REPLY


def count_texts(texts: Sequence[str]) -> int:
    """The tokens of the texts alone."""
    return int(sum(toktok.batch_count(texts, ENCODING)))


def count_written(text: str) -> int:
    """About so many tokens were written; none for no text."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)
