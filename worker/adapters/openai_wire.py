"""OpenAI's chat dialect as pure functions: to the wire and from the wire."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from shared.domain.conversation import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Role,
    TextPart,
    ToolCall,
)
from shared.domain.generation import (
    FinishReason,
    GenerationRequest,
    GenerationResult,
    NamedTool,
    ResponseSchema,
    Tool,
    ToolMode,
)
from worker.adapters.base import WireError
from worker.adapters.bodies import present
from worker.adapters.openai_usage import MALFORMED, usage_from_wire

FINISH_REASONS: Final = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
}
MAY_BE_SILENT: Final = frozenset({FinishReason.LENGTH, FinishReason.CONTENT_FILTER})
"""An answer that was cut may have been cut before its first word."""
Shown = TextPart | ImagePart | FilePart
"""What every wire can say; what is opaque stays with its own."""
OF_THE_WHOLE: Final = ("model", "usage", "service_tier")
"""What a streamed chunk says of the whole answer; the last word wins."""
UNNAMED_FILE: Final = "document.pdf"
"""The wire wants a name for each file."""


def to_wire(request: GenerationRequest, model: str) -> dict[str, Any]:
    """The body of POST /chat/completions; absent parameters stay absent."""
    return present(
        {
            "model": model,
            "messages": [_message(turn) for turn in request.messages],
            "max_completion_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "stop": list(request.stop) or None,
            "seed": request.seed,
            "tools": [_tool(tool) for tool in request.tools] or None,
            "tool_choice": _tool_choice(request.tool_choice),
            "parallel_tool_calls": request.parallel_tool_calls,
            "response_format": _response_format(request.response_schema),
            "reasoning_effort": request.reasoning_effort,
            "metadata": request.metadata,
        }
    )


def from_wire(body: Any) -> GenerationResult:
    """The normal form of a chat completion; WireError when it is none."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = text_of(message.get("content")), text_of(message.get("refusal")) or None
        tool_calls = tuple(_calls(message.get("tool_calls") or ()))
        result = GenerationResult(
            content=content or "",
            tool_calls=tool_calls,
            refusal=refusal,
            finish_reason=_finish_reason(choice["finish_reason"], tool_calls, refusal),
            model=str(body.get("model") or ""),
            usage=usage_from_wire(body.get("usage"), service_tier=body.get("service_tier")),
            citations=_citations(body, message),
        )
    except MALFORMED as error:
        complaint = f"the reply is not a chat completion ({type(error).__name__}: {error})"
        raise WireError(complaint) from None
    silent = content is None and refusal is None and not tool_calls
    if silent and result.finish_reason not in MAY_BE_SILENT:
        complaint = "the reply has neither content nor a refusal nor tool calls"
        raise WireError(complaint)
    return result


def _message(turn: Message) -> dict[str, Any]:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in turn.tool_calls
    ]
    content = content_of(turn, _part)
    body = {"role": turn.role, "content": (content or None) if calls else content}
    if calls:
        body["tool_calls"] = calls
    if turn.role is Role.TOOL:
        body["tool_call_id"] = turn.tool_call_id
    return body


def content_of(turn: Message, form: Callable[[Shown], dict[str, Any]]) -> Any:
    """Text where it is nothing else, for some servers know no parts; else each part's form."""
    shown = [part for part in turn.parts if not isinstance(part, OpaquePart)]
    if all(isinstance(part, TextPart) for part in shown):
        return turn.text
    return [form(part) for part in shown]


def _part(part: Shown) -> dict[str, Any]:
    match part:
        case ImagePart(url=url, detail=detail):
            return {"type": "image_url", "image_url": present({"url": url, "detail": detail})}
        case FilePart(url=url, filename=filename):
            file = {"file_data": url, "filename": filename or UNNAMED_FILE}
            return {"type": "file", "file": file}
        case TextPart(text=text):
            return {"type": "text", "text": text}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": present(function)}


def _tool_choice(choice: ToolMode | NamedTool | None) -> str | dict[str, Any] | None:
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


def _response_format(schema: ResponseSchema | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    form = {"name": schema.name, "schema": schema.schema, "strict": schema.strict}
    return {"type": "json_schema", "json_schema": form}


def _calls(entries: Any) -> Iterator[ToolCall]:
    """The tool calls; some servers give them no ids, and no arguments where there are none."""
    for number, entry in enumerate(entries):
        function = entry["function"]
        yield ToolCall(
            id=str(entry.get("id") or our_call_id(number)),
            name=str(function["name"]),
            arguments=json_of(function.get("arguments") or "{}"),
        )


def our_call_id(number: int) -> str:
    """The name of a call that its server did not name, by its place."""
    return f"call_{number}"


def json_of(arguments: Any) -> str:
    """Arguments as JSON text; some servers give the object itself."""
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()


def text_of(content: Any) -> str | None:
    """What is said; some servers say it in parts, their thoughts among them.

    Raises one of MALFORMED.
    """
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    if content is None or isinstance(content, str):
        return content
    raise TypeError(f"a text that is a {type(content).__name__}")


def _finish_reason(said: str, calls: tuple[ToolCall, ...], refusal: str | None) -> FinishReason:
    reason = FINISH_REASONS[said]
    if reason is FinishReason.STOP:
        if refusal:
            return FinishReason.REFUSAL
        if calls:
            return FinishReason.TOOL_CALLS
    return reason


def _citations(body: Any, message: Any) -> tuple[str, ...]:
    """The URLs that it leant on: in the answer's notes, or beside it, as at xAI."""
    notes = (note.get("url_citation") or {} for note in message.get("annotations") or ())
    beside = body.get("citations") or ()
    urls = [*(note.get("url") for note in notes), *beside]
    return tuple(dict.fromkeys(url for url in urls if isinstance(url, str)))
