"""Seeded answers: filler text, token counts and latency that a seed repeats."""

import hashlib
import random
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import toktok

ENCODING: Final = "o200k_base"
PER_MESSAGE: Final = 3
PER_REPLY: Final = 3
CHARACTERS_PER_TOKEN: Final = 4
FILLER: Final = "the quick brown fox jumps over the lazy dog and "


@dataclass(frozen=True, slots=True)
class Spread:
    """How long answers take and how long they are."""

    latency: float = 0.3
    """Mean seconds."""
    latency_part: float = 0.3
    """The latency lies in mean * (1 ± part), evenly."""
    fewest_tokens: int = 20
    most_tokens: int = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the model gave it."""

    text: str
    tokens: int
    finish_reason: str
    latency: float


class Oracle:
    """Gives answers; the same seed and order of requests give the same ones."""

    def __init__(self, seed: int, spread: Spread) -> None:
        self._seed = seed
        self._spread = spread
        self._numbers = count(1)

    def answer(self, body: bytes, max_tokens: int | None) -> Answer:
        """The answer to a request; its first word is in no other answer."""
        digest = hashlib.sha256(body).hexdigest()[:12]
        number = next(self._numbers)
        dice = random.Random(f"{self._seed}:{digest}:{number}")  # noqa: S311 - seeded, to repeat
        spread = self._spread
        wanted = dice.randint(spread.fewest_tokens, spread.most_tokens)
        tokens = wanted if max_tokens is None else min(wanted, max_tokens)
        part = spread.latency_part
        latency = spread.latency * dice.uniform(1 - part, 1 + part)
        text = f"{digest}-{number} " + FILLER * (tokens * CHARACTERS_PER_TOKEN // len(FILLER) + 1)
        length = max(tokens * CHARACTERS_PER_TOKEN, len(f"{digest}-{number}"))
        reason = "stop" if tokens == wanted else "length"
        return Answer(text[:length].rstrip(), tokens, reason, latency)


def count_prompt(messages: list[dict[str, Any]]) -> int:
    """The tokens of a chat prompt, as OpenAI documents the count."""
    texts = [text_of(message) for message in messages]
    return int(sum(toktok.batch_count(texts, ENCODING))) + PER_MESSAGE * len(texts) + PER_REPLY


def text_of(message: dict[str, Any]) -> str:
    """The text of one message, also where it comes in parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))
