"""Anthropic's messages, outwards: a request becomes the body of POST /v1/messages."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, Final

import orjson

from shared.catalog.prices import MOST_SEARCHES
from shared.domain.conversation import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Role,
    TextPart,
    ToolCall,
)
from shared.domain.failure import FailureKind
from shared.domain.generation import (
    GenerationRequest,
    NamedTool,
    ReasoningEffort,
    RequestKind,
    Tool,
    ToolMode,
)
from worker.adapters.anthropic_cache import kept_system, kept_tools, kept_turns
from worker.adapters.base import CallError
from worker.adapters.bodies import present

WIRE: Final = "anthropic"
WIRE_ROLES: Final = {Role.USER: "user", Role.ASSISTANT: "assistant", Role.TOOL: "user"}
EFFORTS: Final = {
    ReasoningEffort.MINIMAL: "low",
    ReasoningEffort.LOW: "low",
    ReasoningEffort.MEDIUM: "medium",
    ReasoningEffort.HIGH: "high",
    ReasoningEffort.XHIGH: "xhigh",
    ReasoningEffort.MAX: "max",
}
TOOL_CHOICES: Final = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any"}
# The oldest of its versions is the only one that needs no code execution beside it.
WEB_SEARCH: Final = {
    "type": "web_search_20250305", "name": "web_search", "max_uses": MOST_SEARCHES
}  # fmt: skip
DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII)


def to_wire(request: GenerationRequest, model: str, *, stream: bool = False) -> dict[str, Any]:
    """The body of POST /v1/messages; absent parameters stay absent.

    Sampling parameters, seed and penalties are left out: this version of the API has none.
    Raises CallError BAD_REQUEST for what the wire cannot say.
    """
    if request.kind is not RequestKind.CHAT:
        raise _refused(f"kind: Anthropic's API answers chats only, not a {request.kind}")
    output_config = {
        "effort": EFFORTS.get(request.reasoning_effort) if request.reasoning_effort else None,
        "format": _format(request),
    }
    user_id = (request.metadata or {}).get("user_id")
    age, system, tools = request.prompt_cache, _system(request.messages), _tools(request)
    return present(
        {
            "model": model,
            "max_tokens": request.max_tokens,
            "system": kept_system(system, age) or None,
            "messages": kept_turns(list(_turns(request.messages)), age),
            "tools": (tools if system else kept_tools(tools, age)) or None,
            "tool_choice": _tool_choice(request),
            "output_config": present(output_config) or None,
            "thinking": _thinking(request.reasoning_effort),
            "stop_sequences": list(request.stop) or None,
            "metadata": {"user_id": user_id} if user_id else None,
            "stream": stream or None,
        }
    )


def _system(messages: tuple[Message, ...]) -> str:
    """What all system messages say: they stand apart from the turns."""
    texts = (message.text for message in messages if message.role is Role.SYSTEM)
    return "\n\n".join(text for text in texts if text)


def _turns(messages: tuple[Message, ...]) -> Iterator[dict[str, Any]]:
    """User and assistant by turns: results of parallel tool calls must come in one turn."""
    spoken = [message for message in messages if message.role is not Role.SYSTEM]
    for role, turn in groupby(spoken, lambda message: WIRE_ROLES[message.role]):
        if content := [block for message in turn for block in _blocks_of(message)]:
            yield {"role": role, "content": content}


def _blocks_of(message: Message) -> list[dict[str, Any]]:
    blocks = [block for part in message.parts if (block := BLOCKS[type(part)](part))]
    if message.role is Role.TOOL:
        result = {
            "type": "tool_result",
            "tool_use_id": message.tool_call_id,
            "content": blocks or None,
            "is_error": message.is_error or None,
        }
        return [present(result)]
    # Thinking stands among the parts, so it comes before the calls, as the API demands.
    return blocks + [_tool_use(call) for call in message.tool_calls]


def _text(part: TextPart) -> dict[str, Any] | None:
    """The API refuses empty text."""
    return {"type": "text", "text": part.text} if part.text else None


def _image(part: ImagePart) -> dict[str, Any]:
    return {"type": "image", "source": _source(part.url)}


def _document(part: FilePart) -> dict[str, Any]:
    return present({"type": "document", "source": _source(part.url), "title": part.filename})


def _opaque(part: OpaquePart) -> dict[str, Any] | None:
    return part.data if part.wire == WIRE else None


BLOCKS: Final[dict[type[Part], Callable[[Any], dict[str, Any] | None]]] = {
    TextPart: _text,
    ImagePart: _image,
    FilePart: _document,
    OpaquePart: _opaque,
}


def _source(url: str) -> dict[str, Any]:
    """Where the bytes are: in the request, or at an address that the provider fetches."""
    if found := DATA_URL.match(url):
        media_type, data = found[1], url[found.end() :]
        if media_type.startswith("text/"):
            return {"type": "text", "media_type": "text/plain", "data": _decoded(data)}
        return {"type": "base64", "media_type": media_type, "data": data}
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise _refused(f"url: {url[:40]!r} is neither an https address nor data:TYPE;base64,DATA")


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _refused("url: a text file must be UTF-8 in base64") from None


def _tool_use(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise _refused(f"tool_calls: the arguments of {call.id} are not a JSON object")
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _tools(request: GenerationRequest) -> list[dict[str, Any]]:
    return [_tool(tool) for tool in request.tools] + ([WEB_SEARCH] if request.web_search else [])


def _tool(tool: Tool) -> dict[str, Any]:
    return present(
        {
            "name": tool.name,
            "description": tool.description,
            "input_schema": tool.parameters or {"type": "object", "properties": {}},
            "strict": tool.strict,
        }
    )


def _tool_choice(request: GenerationRequest) -> dict[str, Any] | None:
    """A choice alone, or with the word that calls come one by one: that needs a choice, too."""
    one_by_one = request.parallel_tool_calls is False and bool(request.tools)
    choice = request.tool_choice or (ToolMode.AUTO if one_by_one else None)
    match choice:
        case None:
            return None
        case NamedTool(name=name):
            said = {"type": "tool", "name": name}
        case mode:
            said = {"type": TOOL_CHOICES[mode]}
    serial = one_by_one and choice is not ToolMode.NONE
    return {**said, "disable_parallel_tool_use": True} if serial else said


def _format(request: GenerationRequest) -> dict[str, Any] | None:
    schema = request.response_schema
    return {"type": "json_schema", "schema": schema.schema} if schema else None


def _thinking(effort: ReasoningEffort | None) -> dict[str, Any] | None:
    if effort is None:
        return None
    return {"type": "disabled" if effort is ReasoningEffort.NONE else "adaptive"}


def _refused(message: str) -> CallError:
    return CallError(FailureKind.BAD_REQUEST, message)
