"""What OpenAI reads alike in chats and in Responses."""

from typing import Final

from simulator.call import Call, Tool
from simulator.counting import PER_FILE, PER_IMAGE
from simulator.prefixes import BLOCK_TOKENS
from simulator.shelf import Shelf
from simulator.wires.wire import THOUGHT_OF_EFFORT, Json, invalid, tools_to_call

PART_TOKENS: Final = {
    "image_url": PER_IMAGE,
    "input_image": PER_IMAGE,
    "file": PER_FILE,
    "input_file": PER_FILE,
}
"""Of parts without text."""


def remember(call: Call, shelf: Shelf, *, writes: bool) -> None:
    """What of a long prompt is cached, and what is written to the cache where that is billed."""
    call.prefix = shelf.prefixes.blocks(call.model, call.text)
    call.cached_tokens = shelf.prefixes.shared_tokens(call.prefix, call.input_tokens)
    if writes:
        whole = call.input_tokens // BLOCK_TOKENS * BLOCK_TOKENS
        call.cache_write_tokens = whole - call.cached_tokens


def chosen_tools(
    tools: tuple[Tool, ...], choice: str | Json | None, *, parallel: bool, prompt: str
) -> tuple[Tool, ...]:
    """What the answer calls, as `tool_choice` has it, nested or flat."""
    if choice == "none":
        return ()
    only = None
    if isinstance(choice, dict):
        only = choice.get("name") or choice.get("function", {}).get("name")
    return tools_to_call(tools, only=only, parallel=parallel, prompt=prompt)


def thought_of(effort: str | None) -> int:
    """About how many tokens are thought. Raises BadCallError for a word that is none."""
    if effort is None:
        return 0
    if effort not in THOUGHT_OF_EFFORT:
        raise invalid(f"Invalid value: {effort!r}.", param="reasoning_effort", code="invalid_value")
    return THOUGHT_OF_EFFORT[effort]
