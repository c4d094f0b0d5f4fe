"""Seeded answers: filler text, token counts and latency that a seed repeats."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Final, Self

import toktok
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from simulator.strict import Strict

ENCODING: Final = "o200k_base"
PER_MESSAGE: Final = 3
PER_REPLY: Final = 3
CHARACTERS_PER_TOKEN: Final = 4
FILLER: Final = "the quick brown fox jumps over the lazy dog and "
DIE: Final = 2**64


class Spread(Strict):
    """How long answers take and how long they are."""

    latency_ms: NonNegativeFloat = 300.0
    """The mean."""
    latency_spread: Annotated[float, Field(ge=0, le=1)] = 0.3
    """The latency lies in mean * (1 ± spread), evenly."""
    fewest_tokens: PositiveInt = 20
    most_tokens: PositiveInt = 200

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.fewest_tokens > self.most_tokens:
            raise ValueError(f"{self.fewest_tokens} is more than {self.most_tokens}")
        return self


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the model gave it."""

    text: str
    tokens: int
    finish_reason: str
    latency: float
    """Seconds."""


class Oracle:
    """Gives answers; the same seed and order of requests give the same ones."""

    def __init__(self, seed: int, spread: Spread) -> None:
        self._seed = seed
        self._spread = spread
        self._numbers = count(1)

    def answer(self, body: bytes, max_tokens: int | None) -> Answer:
        """The answer to a request body; its first word is in no other answer."""
        number = next(self._numbers)
        digest = hashlib.sha256(b"%d:%d:%b" % (self._seed, number, body))
        long, late = (int.from_bytes(digest.digest()[at : at + 8]) / DIE for at in (0, 8))
        spread = self._spread
        span = spread.most_tokens - spread.fewest_tokens + 1
        wanted = spread.fewest_tokens + int(long * span)
        tokens = wanted if max_tokens is None else min(wanted, max_tokens)
        latency = spread.latency_ms / 1000 * (1 + spread.latency_spread * (2 * late - 1))
        reason = "stop" if tokens == wanted else "length"
        text = _filler(f"{digest.hexdigest()[:12]}-{number}", tokens)
        return Answer(text, tokens, reason, latency)


def count_prompt(texts: Sequence[str]) -> int:
    """The tokens of a chat prompt of these messages, as OpenAI documents the count."""
    return int(sum(toktok.batch_count(texts, ENCODING))) + PER_MESSAGE * len(texts) + PER_REPLY


def _filler(word: str, tokens: int) -> str:
    """Text of about so many tokens that begins with `word`, which is never cut."""
    length = max(tokens * CHARACTERS_PER_TOKEN, len(word))
    return f"{word} {FILLER * (length // len(FILLER) + 1)}"[:length].rstrip()
