"""What of a prompt Anthropic shall keep: the marks that its cache goes by."""

from typing import Any, Final

NO_PLACE: Final = frozenset({"thinking", "redacted_thinking"})
"""Blocks that the API lets nobody mark."""


def kept_system(system: str, age: str | None) -> Any:
    """The system prompt, marked: the tools, which stand before it, are kept with it."""
    if not system or age is None:
        return system
    return [{"type": "text", "text": system, "cache_control": _mark(age)}]


def kept_tools(tools: list[dict[str, Any]], age: str | None) -> list[dict[str, Any]]:
    """The tools of a prompt that has no system prompt, kept up to the last."""
    if not tools or age is None:
        return tools
    return [*tools[:-1], {**tools[-1], "cache_control": _mark(age)}]


def kept_turns(turns: list[dict[str, Any]], age: str | None) -> list[dict[str, Any]]:
    """The turns; all but the last block, which is what is asked anew, are kept."""
    if age is None:
        return turns
    places = [
        (number, place)
        for number, turn in enumerate(turns)
        for place, block in enumerate(turn["content"])
    ]
    for number, place in reversed(places[:-1]):
        content = turns[number]["content"]
        if content[place]["type"] not in NO_PLACE:
            marked = {**content[place], "cache_control": _mark(age)}
            content = [*content[:place], marked, *content[place + 1 :]]
            return [*turns[:number], {**turns[number], "content": content}, *turns[number + 1 :]]
    return turns


def _mark(age: str) -> dict[str, str]:
    return {"type": "ephemeral", "ttl": age}
