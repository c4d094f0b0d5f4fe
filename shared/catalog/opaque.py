"""Which of a wire's own parts may go back to it: what the model answered, never what is fetched."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.domain.conversation import OpaquePart

BLOCKS_OF_ANTHROPIC: Final = re.compile(
    r"thinking|redacted_thinking|compaction|server_tool_use|mcp_tool_use|\w+_tool_result"
)
ITEMS_OF_RESPONSES: Final = re.compile(
    r"reasoning|compaction|search_results|mcp_list_tools|\w+_call"
)
KEYS_OF_GEMINI: Final = frozenset(
    {"text", "thought", "thoughtSignature", "executableCode", "codeExecutionResult",
     "toolCall", "toolResponse"}
)  # fmt: skip
OWN: Final[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = {
    "anthropic": lambda data: bool(BLOCKS_OF_ANTHROPIC.fullmatch(str(data.get("type")))),
    "openai-responses": lambda data: bool(ITEMS_OF_RESPONSES.fullmatch(str(data.get("type")))),
    "gemini": lambda data: data.keys() <= KEYS_OF_GEMINI,
}
"""Wire to whether it gives such a part. Other wires take none."""


def may_return(part: OpaquePart) -> bool:
    """Whether it looks like part of an answer; an image or a file by its address does not.

    Else a caller could have the provider fetch what nobody looked at, or open its own files.
    """
    own = OWN.get(part.wire)
    return own is None or own(part.data)
