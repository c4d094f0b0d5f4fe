"""OpenAI's Responses: reading a request."""

from typing import Any, Final, Literal

import orjson
from pydantic import Field, PositiveInt

from simulator.call import Call, Problem, Reply, Tool
from simulator.counting import count_prompt
from simulator.http import Request
from simulator.prefixes import FEWEST
from simulator.shelf import Shelf
from simulator.wires.openai_errors import OpenAIErrors
from simulator.wires.openai_items import document, encrypted, events
from simulator.wires.openai_reading import PART_TOKENS, chosen_tools, remember, thought_of
from simulator.wires.thought import came_of_thought
from simulator.wires.wire import MODEL_MAXIMUM, Json, Loose, invalid, named_event, parsed

ENCRYPTED: Final = "reasoning.encrypted_content"
SEARCHES: Final = ("web_search", "web_search_preview")


class TextFormat(Loose):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema_: Json | None = Field(default=None, alias="schema")


class TextConfig(Loose):
    """How the text is to be."""

    format: TextFormat | None = None


class Reasoning(Loose):
    """How much is thought."""

    effort: str | None = None


class ResponsesBody(Loose):
    """The parameters that change what the simulator does."""

    model: str
    input: str | list[Json] = Field(min_length=1)
    instructions: str | None = None
    max_output_tokens: PositiveInt | None = None
    stream: bool | None = None
    tools: list[Json] = Field(default_factory=list)
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None

    @property
    def items(self) -> list[Json]:
        """The input's items, also where it is plain text."""
        if isinstance(self.input, str):
            return [{"role": "user", "content": self.input}]
        return self.input

    @property
    def functions(self) -> tuple[Tool, ...]:
        """The functions that the answer may call."""
        return tuple(
            Tool(str(tool.get("name")), tool.get("parameters") or {})
            for tool in self.tools
            if tool.get("type") == "function"
        )

    @property
    def schema_of_answer(self) -> Json | None:
        """The schema, if JSON is asked for."""
        form = self.text.format if self.text else None
        if form is None or form.type == "text":
            return None
        return form.schema_ or {"type": "object"}


class OpenAIResponses(OpenAIErrors):
    """POST /v1/responses."""

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call."""
        body = parsed(ResponsesBody, request.body)
        price = shelf.price(body.model)
        _check_outputs(body.items)
        _check_thought(body.items)
        texts = [_words(item) for item in body.items]
        text = "\n".join(texts)
        tokens = count_prompt([body.instructions or "", *texts]) + _hidden_tokens(body)
        searches = any(tool.get("type") in SEARCHES for tool in body.tools)
        call = Call(
            model=body.model,
            text=text,
            input_tokens=tokens,
            max_tokens=body.max_output_tokens,
            charge=tokens + (body.max_output_tokens or MODEL_MAXIMUM),
            stream=bool(body.stream),
            client_request_id=request.headers.get("x-client-request-id", ""),
            schema=body.schema_of_answer,
            thought=thought_of(body.reasoning.effort if body.reasoning else None),
            searches=int(searches and body.tool_choice != "none"),
            extras={"encrypted": ENCRYPTED in (body.include or ())},
        )
        if body.items[-1].get("type") != "function_call_output":
            call.tools = chosen_tools(
                body.functions,
                body.tool_choice,
                parallel=body.parallel_tool_calls is not False,
                prompt=text,
            )
        if tokens >= FEWEST:
            remember(call, shelf, writes=price.cache_write is not None)
        return call

    def document(self, reply: Reply) -> Json:
        """A response."""
        body = document(reply)
        if reply.with_usage:
            body["usage"] = self.usage(reply)
        return body

    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """Its events."""
        return events(self.document(reply))

    def stream_error(self, problem: Problem, request_id: str) -> bytes:
        """An event of its own name."""
        error = orjson.loads(self.error(problem, request_id).body)["error"]
        return named_event("error", {"sequence_number": 99, **error, "type": "error"})

    def usage(self, reply: Reply) -> Json:
        """The tokens as they are billed."""
        call, answer = reply.call, reply.answer
        return {
            "input_tokens": call.input_tokens,
            "input_tokens_details": {
                "cached_tokens": call.cached_tokens,
                "cache_write_tokens": call.cache_write_tokens,
            },
            "output_tokens": answer.tokens,
            "output_tokens_details": {"reasoning_tokens": answer.thought_tokens},
            "total_tokens": call.input_tokens + answer.tokens,
        }


def _check_outputs(items: list[Json]) -> None:
    """Each output has its call, each call its output. Raises BadCallError."""
    called = {str(item.get("call_id")) for item in items if item.get("type") == "function_call"}
    answered = {
        str(item.get("call_id")) for item in items if item.get("type") == "function_call_output"
    }
    for lost in sorted(answered - called):
        message = f"No tool call found for function call output with call_id {lost}."
        raise invalid(message, param="input")
    for lost in sorted(called - answered):
        raise invalid(f"No tool output found for function call {lost}.", param="input")


def _check_thought(items: list[Json]) -> None:
    """Thought is the model's own, and stands before the calls of its turn. Raises BadCallError."""
    thought = False
    for item in items:
        kind = item.get("type")
        if kind == "reasoning":
            name = str(item.get("id"))
            if item.get("encrypted_content") != encrypted(name):
                message = f"The encrypted content for item {name} could not be verified."
                raise invalid(message, param="input", code="invalid_encrypted_content")
            thought = True
        elif kind == "function_call" and came_of_thought(item.get("call_id")) and not thought:
            raise invalid(
                f"Item {item.get('id')!r} of type 'function_call' was provided without its "
                "required 'reasoning' item.",
                param="input",
            )
        elif kind == "function_call_output" or item.get("role") == "user":
            thought = False


def _words(item: Json) -> str:
    content: Any = item.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    told = (item.get(name) for name in ("name", "arguments", "output"))
    return "".join(each if isinstance(each, str) else "" for each in told)


def _hidden_tokens(body: ResponsesBody) -> int:
    """Of images, files and tools."""
    parts = (
        PART_TOKENS.get(str(part.get("type")), 0)
        for item in body.items
        if isinstance(item.get("content"), list)
        for part in item["content"]
    )
    tools = [orjson.dumps(tool).decode() for tool in body.tools]
    return sum(parts) + (count_prompt(tools) if tools else 0)
