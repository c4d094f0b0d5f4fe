"""OpenAI's Responses dialect as pure functions: to the wire and from the wire."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

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
    FinishReason,
    GenerationRequest,
    GenerationResult,
    NamedTool,
    ReasoningEffort,
    ResponseSchema,
    Tool,
    ToolMode,
)
from worker.adapters.base import CallError, WireError
from worker.adapters.bodies import present
from worker.adapters.openai_usage import MALFORMED, usage_from_wire
from worker.adapters.openai_wire import UNNAMED_FILE, Shown, content_of, json_of

WIRE: Final = "openai-responses"
SILENT: Final = "the response has neither text nor a refusal nor a call of a tool"
INCOMPLETE: Final = {
    "max_output_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
BILLED_ACTIONS: Final = frozenset({None, "search"})
"""What a web search does: opening a page that it found costs nothing by itself."""


def to_wire(request: GenerationRequest, model: str) -> dict[str, Any]:
    """The body of POST /responses; absent parameters stay absent."""
    return present(
        {
            "model": model,
            "input": [item for turn in request.messages for item in _items(turn)],
            "max_output_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "tools": _tools(request) or None,
            "tool_choice": _tool_choice(request.tool_choice),
            "parallel_tool_calls": request.parallel_tool_calls,
            "text": _text_format(request.response_schema),
            "reasoning": _reasoning(request.reasoning_effort),
            # What was held for: it counts the provider's own tools only.
            "max_tool_calls": MOST_SEARCHES if request.web_search else None,
            "include": _included(request),
            "metadata": request.metadata,
            # The job is the record; the provider need not keep another.
            "store": False,
        }
    )


def from_wire(body: Any) -> GenerationResult:
    """The normal form of a response.

    Raises WireError when it is none, and CallError with what was billed when it says nothing.
    """
    try:
        output = body["output"]
        texts = list(_said(output, "output_text", "text"))
        refusals = list(_said(output, "refusal", "refusal"))
        calls = tuple(_calls(output))
        usage = usage_from_wire(
            body.get("usage"), service_tier=body.get("service_tier"), searches=_searches(output)
        )
        if body["status"] == "completed" and not (texts or refusals or calls):
            raise CallError(FailureKind.BAD_RESPONSE, SILENT, usage=usage)
        return GenerationResult(
            content="".join(texts),
            parts=tuple(_parts(output)),
            tool_calls=calls,
            refusal="".join(refusals) if refusals else None,
            finish_reason=_finish_reason(body, called=bool(calls), refused=bool(refusals)),
            model=str(body.get("model") or ""),
            usage=usage,
            citations=_citations(output),
        )
    except MALFORMED as error:
        complaint = f"the reply is not a response ({type(error).__name__}: {error})"
        raise WireError(complaint) from None


def _items(turn: Message) -> Iterator[dict[str, Any]]:
    """One turn as input items: what is said, the calls, the result of a call."""
    if turn.role is Role.ASSISTANT:
        yield from _assistant_items(turn)
    elif turn.role is Role.TOOL:
        output = content_of(turn, _part)
        yield {"type": "function_call_output", "call_id": turn.tool_call_id, "output": output}
    else:
        yield {"role": turn.role, "content": content_of(turn, _part)}


def _assistant_items(turn: Message) -> Iterator[dict[str, Any]]:
    """The items of an earlier response, in the order in which they came."""
    returned = set()
    for part in turn.parts:
        if isinstance(part, TextPart) and part.text:
            yield {"role": Role.ASSISTANT, "content": part.text}
        elif isinstance(part, OpaquePart) and part.wire == WIRE:
            returned.add(part.data.get("call_id"))
            yield part.data
    for call in turn.tool_calls:
        if call.id not in returned:
            yield {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }


def _part(part: Shown) -> dict[str, Any]:
    match part:
        case ImagePart(url=url, detail=detail):
            return {"type": "input_image", "image_url": url, "detail": detail or "auto"}
        case FilePart(url=url, filename=filename) if url.startswith("data:"):
            named = filename or UNNAMED_FILE
            return {"type": "input_file", "file_data": url, "filename": named}
        case FilePart(url=url):
            return {"type": "input_file", "file_url": url}
        case TextPart(text=text):
            return {"type": "input_text", "text": text}


def _tools(request: GenerationRequest) -> list[dict[str, Any]]:
    searching = [{"type": "web_search"}] if request.web_search else []
    return [*(_tool(tool) for tool in request.tools), *searching]


def _tool(tool: Tool) -> dict[str, Any]:
    """This wire is strict where nothing is said, and wants parameters."""
    parameters = tool.parameters or {"type": "object", "properties": {}}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return present({"type": "function", **function, "strict": bool(tool.strict)})


def _tool_choice(choice: ToolMode | NamedTool | None) -> str | dict[str, Any] | None:
    if isinstance(choice, NamedTool):
        return {"type": "function", "name": choice.name}
    return choice


def _text_format(schema: ResponseSchema | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    form = {"name": schema.name, "schema": schema.schema, "strict": schema.strict}
    return {"format": {"type": "json_schema", **form}}


def _reasoning(effort: ReasoningEffort | None) -> dict[str, Any] | None:
    return None if effort is None else {"effort": effort}


def _included(request: GenerationRequest) -> list[str] | None:
    """Thought comes along to go back with a tool's result; other models refuse to be asked."""
    thinks = request.reasoning_effort not in {None, ReasoningEffort.NONE}
    return ["reasoning.encrypted_content"] if thinks and request.tools else None


def _said(output: Any, kind: str, name: str) -> Iterator[str]:
    """The texts of one kind in all its messages."""
    for part in _contents(output):
        if part["type"] == kind:
            yield "" + part[name]


def _contents(output: Any) -> Iterator[Any]:
    for item in output:
        if item["type"] == "message":
            yield from item["content"]


def _calls(output: Any) -> Iterator[ToolCall]:
    for item in output:
        if item["type"] == "function_call":
            yield ToolCall(
                id=str(item.get("call_id") or item["id"]),
                name=str(item["name"]),
                arguments=json_of(item.get("arguments") or "{}"),
            )


def _parts(output: Any) -> Iterator[Part]:
    """All items in their order where one holds a thought: it goes back with what followed it."""
    if not any(_can_return(item) for item in output if item["type"] == "reasoning"):
        return
    for item in output:
        if item["type"] == "message":
            text = "".join(_said([item], "output_text", "text"))
            if text:
                yield TextPart(text=text)
        elif item["type"] != "reasoning" or _can_return(item):
            yield OpaquePart(wire=WIRE, data=item)


def _can_return(item: Any) -> bool:
    """A thought that the provider keeps no copy of must bring its own."""
    return bool(item.get("encrypted_content") or item.get("content"))


def _finish_reason(body: Any, *, called: bool, refused: bool) -> FinishReason:
    """Raises LookupError for a response that is neither complete nor cut."""
    if body["status"] == "incomplete":
        return INCOMPLETE[body["incomplete_details"]["reason"]]
    if body["status"] != "completed":
        raise LookupError(f"status {body['status']!r}")
    if refused:
        return FinishReason.REFUSAL
    return FinishReason.TOOL_CALLS if called else FinishReason.STOP


def _searches(output: Any) -> int:
    calls = (item for item in output if item["type"] == "web_search_call")
    return sum((call.get("action") or {}).get("type") in BILLED_ACTIONS for call in calls)


def _citations(output: Any) -> tuple[str, ...]:
    """The URLs that the answer names, and at Perplexity those that it found."""
    notes = (note for part in _contents(output) for note in part.get("annotations") or ())
    named = (note.get("url") for note in notes if note.get("type") == "url_citation")
    found = (
        result.get("url")
        for item in output
        if item["type"] == "search_results"
        for result in item.get("results") or ()
    )
    urls: Iterable[Any] = (*named, *found)
    return tuple(dict.fromkeys(url for url in urls if isinstance(url, str)))
