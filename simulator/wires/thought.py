"""Thought that must come back with the results of the calls that it led to, untouched."""

import hashlib
from typing import Any, Final

from simulator.call import Answer, ToolCall

MARK: Final = "of_thought_"


def call_id(call: ToolCall, answer: Answer, prefix: str) -> str:
    """The id of a call; it tells whether thought came before it, since nothing is kept here."""
    number = call.id.removeprefix("call_")
    return prefix + (MARK if answer.thought_tokens else "") + number


def came_of_thought(given: Any) -> bool:
    """Whether the call of this id was made after thought; not where another made the id."""
    return MARK in str(given)


def seal(words: str) -> str:
    """What proves that a thought is the model's own."""
    return hashlib.sha256(b"simulator:" + words.encode()).hexdigest()
