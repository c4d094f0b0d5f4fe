"""OpenAI's chat completions: reading a request as strictly as OpenAI reads it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

import orjson
from pydantic import Field, PositiveInt

from simulator.call import Call, Reply, Tool
from simulator.counting import count_prompt
from simulator.http import Request
from simulator.prefixes import FEWEST
from simulator.shelf import Shelf
from simulator.wires.openai_chunks import Style, chunks, completion, usage
from simulator.wires.openai_errors import OpenAIErrors
from simulator.wires.openai_reading import PART_TOKENS, chosen_tools, remember, thought_of
from simulator.wires.wire import (
    MODEL_MAXIMUM,
    Json,
    Loose,
    invalid,
    parsed,
)

ANY_OBJECT: Final[Json] = {"type": "object", "properties": {"answer": {"type": "string"}}}
"""What json_object gives."""


class Function(Loose):
    """The call of a function."""

    name: str
    arguments: str


class GivenCall(Loose):
    """A tool call that the model made before."""

    id: str
    function: Function


class Message(Loose):
    """One message of a chat."""

    role: str
    content: str | list[Json] | None = None
    tool_calls: list[GivenCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """Its text, also where it comes in parts."""
        if isinstance(self.content, str):
            return self.content
        texts = (part.get("text") for part in self.content or ())
        return "".join(text for text in texts if isinstance(text, str))


class FunctionSpec(Loose):
    """A function that may be called."""

    name: str
    parameters: Json | None = None


class ToolSpec(Loose):
    """A tool that may be called."""

    type: Literal["function"]
    function: FunctionSpec


class JsonSchema(Loose):
    """The schema of the answer."""

    name: str
    schema_: Json = Field(default_factory=dict, alias="schema")


class ResponseFormat(Loose):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Loose):
    """What a stream carries beside the answer."""

    include_usage: bool = False


class ChatBody(Loose):
    """The parameters that change what the simulator does."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    tools: list[ToolSpec] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None


class OpenAIChat(OpenAIErrors):
    """POST /v1/chat/completions."""

    style: ClassVar[Style] = Style()

    def body(self, request: Request) -> ChatBody:
        """The body, as this server takes it. Raises BadCallError."""
        return parsed(ChatBody, request.body)

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call."""
        body = self.body(request)
        price = shelf.price(body.model)
        texts = [message.text for message in body.messages]
        tokens = count_prompt(texts)
        most = body.max_completion_tokens or body.max_tokens
        call = Call(
            model=body.model,
            text="\n".join(texts),
            input_tokens=tokens,
            max_tokens=most,
            charge=tokens + (most or MODEL_MAXIMUM),
            stream=bool(body.stream),
            client_request_id=request.headers.get("x-client-request-id", ""),
            extras=_extras(body),
        )
        if not _is_plain(body):
            _add_parts(call, body)
        if call.input_tokens >= FEWEST:
            remember(call, shelf, writes=price.cache_write is not None)
        return call

    def document(self, reply: Reply) -> Json:
        """A chat.completion."""
        body = completion(reply, self.style)
        if reply.with_usage:
            body["usage"] = self.usage(reply)
        return body

    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """Chunks, and the end with its usage if it was asked for."""
        told = self.usage(reply) if reply.with_usage else None
        return chunks(reply, told, self.style)

    def usage(self, reply: Reply) -> Json:
        """The tokens as they are billed."""
        return usage(reply)


PLAIN: Final = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "n", "stream", "stream_options"}
)
WITH_USAGE: Final = {"include_usage": True}
WITHOUT_USAGE: Final = {"include_usage": False}


def _is_plain(body: ChatBody) -> bool:
    """Most requests are, and need no further look."""
    return body.model_fields_set <= PLAIN and all(
        message.role != "tool" and isinstance(message.content, str) and not message.tool_calls
        for message in body.messages
    )


def _extras(body: ChatBody) -> Mapping[str, Any]:
    wanted = body.stream_options is not None and body.stream_options.include_usage
    return WITH_USAGE if wanted else WITHOUT_USAGE


def _add_parts(call: Call, body: ChatBody) -> None:
    """All that a plain question has not."""
    _check_results(body.messages)
    extra = _hidden_tokens(body)
    call.input_tokens += extra
    call.charge += extra
    call.stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    call.thought = thought_of(body.reasoning_effort)
    if body.tools and body.messages[-1].role != "tool":
        call.tools = chosen_tools(
            tuple(Tool(t.function.name, t.function.parameters or {}) for t in body.tools),
            body.tool_choice,
            parallel=body.parallel_tool_calls is not False,
            prompt=call.text,
        )
    call.schema = _schema(body.response_format)


def _schema(given: ResponseFormat | None) -> Mapping[str, Any] | None:
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        return ANY_OBJECT
    if given.json_schema is None:
        raise invalid(
            "Missing required parameter: 'response_format.json_schema'.",
            param="response_format.json_schema",
            code="missing_required_parameter",
        )
    return given.json_schema.schema_


def _hidden_tokens(body: ChatBody) -> int:
    """Of images, files, calls made before and tools."""
    hidden = [
        call.function.name + call.function.arguments
        for message in body.messages
        for call in message.tool_calls or ()
    ]
    hidden += [orjson.dumps(tool.model_dump()).decode() for tool in body.tools or ()]
    parts = (
        PART_TOKENS.get(str(part.get("type")), 0)
        for message in body.messages
        if isinstance(message.content, list)
        for part in message.content
    )
    return sum(parts) + (count_prompt(hidden) if hidden else 0)


def _check_results(messages: list[Message]) -> None:
    """A tool's message answers a call that was made, and each call is answered."""
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        param = f"messages.{place}"
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceding message with 'tool_calls'.",
                    param=f"{param}.role",
                )
            open_calls.discard(message.tool_call_id)
            continue
        if open_calls:
            raise invalid(
                "An assistant message with 'tool_calls' must be followed by tool messages "
                f"responding to each 'tool_call_id': {', '.join(sorted(open_calls))}.",
                param=f"{param}.role",
            )
        open_calls = {call.id for call in message.tool_calls or ()}
