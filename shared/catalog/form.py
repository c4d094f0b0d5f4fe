"""Is a request whole in itself, whatever its model is? Turns, calls, addresses, schemas."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from shared.catalog.opaque import may_return
from shared.catalog.schemas import mistake_in
from shared.domain.conversation import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Role,
    TextPart,
)
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest, NamedTool, RequestKind, ToolMode
from shared.domain.places import path_of

CONTENT_OF: Final = {
    RequestKind.CHAT: "messages",
    RequestKind.COMPLETION: "prompt",
    RequestKind.EMBEDDING: "input",
}
ADDRESSES: Final = ("https://", "data:")
# Nobody could tell whose they are: this installation's key would open them for every caller.
FILES_OF_GOOGLE: Final = "https://generativelanguage.googleapis.com/"


def require_form(request: GenerationRequest) -> None:
    """Raise InvalidRequestError that names the first field which makes no sense."""
    _require_content(request)
    if request.tools or request.tool_choice is not None:
        _require_tools(request)
    if request.response_schema is not None:
        _require_schema("response_schema.schema", request.response_schema.schema)
    called: set[str] = set()
    for place, message in enumerate(request.messages):
        # Plain turns of text have nothing to check.
        if (
            message.content.__class__ is not str
            or message.tool_calls
            or message.tool_call_id is not None
            or message.role is Role.TOOL
        ):
            _require_turn(f"messages[{place}]", message, called)


def _require_content(request: GenerationRequest) -> None:
    own = CONTENT_OF[request.kind]
    if request.prompt is not None or request.input is not None or own != "messages":
        for kind, name in CONTENT_OF.items():
            if name != own and getattr(request, name):
                raise _wrong(name, f"it belongs to a request of the kind {kind}")
    if not getattr(request, own):
        said = "at least one message is needed" if own == "messages" else "it is needed"
        raise _wrong(own, said)
    if own == "input" and any(not text for text in request.input or ()):
        raise _wrong(own, "an empty text has no embedding")


def _require_tools(request: GenerationRequest) -> None:
    names: set[str] = set()
    for place, tool in enumerate(request.tools):
        if tool.name in names:
            raise _wrong(f"tools[{place}].name", f"{tool.name!r} comes twice")
        names.add(tool.name)
        if tool.parameters is not None:
            path = f"tools[{place}].parameters"
            _require_schema(path, tool.parameters)
            if tool.parameters.get("type", "object") != "object":
                raise _wrong(f"{path}.type", "the parameters of a tool are an object")
    choice = request.tool_choice
    if isinstance(choice, NamedTool) and choice.name not in names:
        raise _wrong("tool_choice.name", f"no tool is called {choice.name!r}")
    if choice is ToolMode.REQUIRED and not names:
        raise _wrong("tool_choice", "no tool is given that could be called")


def _require_turn(path: str, message: Message, called: set[str]) -> None:
    """One turn; `called` holds the calls before it and takes its own."""
    if message.tool_calls and message.role is not Role.ASSISTANT:
        raise _wrong(f"{path}.tool_calls", "only the assistant calls tools")
    for place, call in enumerate(message.tool_calls):
        if not _is_object(call.arguments):
            raise _wrong(f"{path}.tool_calls[{place}].arguments", "it is not a JSON object's text")
        called.add(call.id)
    _require_call(f"{path}.tool_call_id", message, called)
    for where, part in _parts(path, message):
        if isinstance(part, OpaquePart):
            _require_answered(where, message, part)
            continue
        if not part.url.startswith(ADDRESSES):
            raise _wrong(f"{where}.url", f"it must begin with {' or '.join(ADDRESSES)}")
        if part.url.lower().startswith(FILES_OF_GOOGLE):
            said = "files that Google keeps are not taken; give the bytes, or an open address"
            raise _wrong(f"{where}.url", said)


def _require_call(path: str, message: Message, called: set[str]) -> None:
    """A tool's turn answers a call that was made; no other turn answers one."""
    if message.role is Role.TOOL:
        if message.tool_call_id not in called:
            said = "no call before it has this id" if message.tool_call_id else "it is needed"
            raise _wrong(path, said)
    elif message.tool_call_id is not None:
        raise _wrong(path, "only a turn of the role tool answers a call")


def _require_answered(path: str, message: Message, part: OpaquePart) -> None:
    """What only one wire understands is the model's own, and comes back in its own turn."""
    if message.role is not Role.ASSISTANT:
        raise _wrong(path, "only the assistant's turn has opaque parts")
    if not may_return(part):
        raise _wrong(f"{path}.data", f"no answer of the wire {part.wire} has such a part")


def _parts(path: str, message: Message) -> Iterator[tuple[str, ImagePart | FilePart | OpaquePart]]:
    """What is more than text, and where it stands."""
    if not isinstance(message.content, str):
        for place, part in enumerate(message.content):
            if not isinstance(part, TextPart):
                yield f"{path}.content[{place}]", part


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _require_schema(path: str, schema: dict[str, Any]) -> None:
    if mistake := mistake_in(orjson.dumps(schema)):
        place, said = mistake
        raise _wrong(path_of((path, *place)), f"no valid JSON Schema: {said}")


def _wrong(field: str, said: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field}: {said}", field=field)
