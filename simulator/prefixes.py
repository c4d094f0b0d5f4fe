"""The prompt cache of an account: which beginnings of long prompts it has seen."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

FEWEST: Final = 1024
"""Tokens below which a prompt is not cached."""
BLOCK_TOKENS: Final = 128
BLOCK_CHARACTERS: Final = 256
MOST: Final = 50_000
"""Beginnings that are remembered; the oldest go."""


@dataclass(slots=True)
class PrefixCache:
    """Blocks of text, each told by the hash of all that is before its end."""

    _seen: dict[bytes, None] = field(default_factory=dict)

    def blocks(self, model: str, text: str) -> tuple[bytes, ...]:
        """The hashes of the beginnings of a text, shortest first; the last is the whole text."""
        starts = range(0, len(text), BLOCK_CHARACTERS)
        return self.chain(model, (text[at : at + BLOCK_CHARACTERS] for at in starts))

    def chain(self, model: str, segments: Iterable[str]) -> tuple[bytes, ...]:
        """The hash of all that is before the end of each segment."""
        running = hashlib.blake2b(model.encode(), digest_size=16)
        hashes = []
        for segment in segments:
            running.update(segment.encode("utf-8", "surrogatepass"))
            hashes.append(running.digest())
        return tuple(hashes)

    def shared(self, blocks: tuple[bytes, ...]) -> int:
        """How many of the blocks, from the first on, were kept before."""
        for count, block in enumerate(blocks):
            if block not in self._seen:
                return count
        return len(blocks)

    def shared_tokens(self, blocks: tuple[bytes, ...], tokens: int) -> int:
        """The cached part of a prompt of so many tokens, rounded down as OpenAI rounds it."""
        if tokens < FEWEST or not blocks:
            return 0
        cached = tokens * self.shared(blocks) // len(blocks)
        return cached // BLOCK_TOKENS * BLOCK_TOKENS if cached >= FEWEST else 0

    def keep(self, blocks: tuple[bytes, ...]) -> None:
        """Remember the beginnings of an answered prompt."""
        self._seen.update(dict.fromkeys(blocks))
        while len(self._seen) > MOST:
            del self._seen[next(iter(self._seen))]

    def clear(self) -> None:
        """Forget all."""
        self._seen.clear()
