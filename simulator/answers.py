"""Seeded answers: texts, JSON, tool calls, their tokens and latency, that a seed repeats."""

import hashlib
from itertools import count
from typing import Annotated, Final, Self

import orjson
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from simulator.call import Answer, Call, ToolCall
from simulator.counting import CHARACTERS_PER_TOKEN, count_written
from simulator.schemas import fitting
from simulator.strict import Strict

FILLER: Final = "the quick brown fox jumps over the lazy dog and "
THOUGHT: Final = "so the question is what the fox wants and why "
PER_TOOL_CALL: Final = 8
"""Tokens around the arguments."""
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


class Oracle:
    """Gives answers; the same seed and order of requests give the same ones."""

    def __init__(self, seed: int, spread: Spread) -> None:
        self._seed = seed
        self._spread = spread
        self._numbers = count(1)

    def answer(self, call: Call, body: bytes) -> Answer:
        """The answer to a call; its first word, or that of its texts, is in no other answer."""
        number = next(self._numbers)
        digest = hashlib.sha256(b"%d:%d:%b" % (self._seed, number, body)).digest()
        long, late = (int.from_bytes(digest[at : at + 8]) / DIE for at in (0, 8))
        spread = self._spread
        latency = spread.latency_ms / 1000 * (1 + spread.latency_spread * (2 * late - 1))
        span = spread.most_tokens - spread.fewest_tokens + 1
        wanted = spread.fewest_tokens + int(long * span)
        word = f"{digest.hex()[:12]}-{number}"
        if call.inputs:
            answer = Answer(text=" ".join(call.inputs), tokens=0, finish_reason="stop", latency=0)
        elif call.tools:
            answer = _tool_calls(call, digest, word)
        elif call.schema is not None:
            answer = _json(call, digest, word)
        else:
            answer = Answer(
                text=_filler(word, wanted), tokens=wanted, finish_reason="stop", latency=0
            )
        answer.latency = latency
        if call.stop:
            _stop(answer, call.stop)
        if call.thought:
            _think(answer, int(call.thought * (0.5 + late)) or 1)
        if call.max_tokens is not None and call.max_tokens < answer.tokens:
            _cut(answer, call.max_tokens, word)
        return answer


def _tool_calls(call: Call, digest: bytes, word: str) -> Answer:
    calls = tuple(
        ToolCall(
            id=f"call_{digest.hex()[place : place + 24]}",
            name=tool.name,
            arguments=_arguments(fitting(tool.schema, digest + bytes([place]), word)),
        )
        for place, tool in enumerate(call.tools)
    )
    tokens = sum(PER_TOOL_CALL + count_written(written(each)) for each in calls)
    return Answer(text="", tokens=tokens, finish_reason="tool_calls", latency=0, tool_calls=calls)


def written(call: ToolCall) -> str:
    """The arguments as the model writes them."""
    return orjson.dumps(call.arguments).decode()


def _arguments(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _json(call: Call, digest: bytes, word: str) -> Answer:
    text = orjson.dumps(fitting(call.schema or {}, digest, word)).decode()
    return Answer(text=text, tokens=count_written(text), finish_reason="stop", latency=0)


def _stop(answer: Answer, stops: tuple[str, ...]) -> None:
    """End at the first stop sequence, which is not part of the answer."""
    places = ((answer.text.find(stop), stop) for stop in stops if stop)
    found = min((place for place in places if place[0] >= 0), default=None)
    if found is not None:
        answer.text, answer.stop = answer.text[: found[0]], found[1]
        answer.tokens = max(count_written(answer.text), 1)


def _think(answer: Answer, tokens: int) -> None:
    answer.thought = _filler("hm,", tokens, THOUGHT)
    answer.thought_tokens = tokens
    answer.tokens += tokens


def _cut(answer: Answer, most: int, word: str) -> None:
    """Write only so many tokens; thought comes first, a half tool call is not told."""
    answer.tokens, answer.finish_reason, answer.stop = most, "length", None
    answer.tool_calls = ()
    answer.thought_tokens = min(answer.thought_tokens, most)
    answer.thought = answer.thought[: answer.thought_tokens * CHARACTERS_PER_TOKEN]
    left = (most - answer.thought_tokens) * CHARACTERS_PER_TOKEN
    # The word that tells answers apart is never cut, but where thought has eaten all.
    at_least = len(word) if left and answer.text.startswith(word) else 0
    answer.text = answer.text[: max(left, at_least)].rstrip()


def _filler(word: str, tokens: int, filler: str = FILLER) -> str:
    """Text of about so many tokens that begins with `word`, which is never cut."""
    length = max(tokens * CHARACTERS_PER_TOKEN, len(word))
    return f"{word} {filler * (length // len(filler) + 1)}"[:length].rstrip()
