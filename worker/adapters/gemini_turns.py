"""Gemini's dialect of a conversation: turns, their parts, calls of tools and their results."""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
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
from shared.domain.failure import FailureKind
from worker.adapters.base import CallError

WIRE: Final = "gemini"
OUR_CALL_ID: Final = re.compile(r"call_\d+")
"""An id that we made for a call that came without one: the wire never hears it."""
NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google's word for calls that another model made: Gemini 3 refuses calls without a signature."""
UNSIGNED: Final = re.compile(r"gemini-[12]\b")
"""Models from before the signatures, which think by a budget of tokens."""
SPEAKERS: Final = {Role.USER: "user", Role.TOOL: "user", Role.ASSISTANT: "model"}
DATA_URL: Final = re.compile(r"data:([^;,]+)(?:;[^;,]+)*;base64,")

Calls = dict[str, tuple[int, ToolCall]]
"""The conversation's calls so far: id to place and call."""


def contents_of(messages: Iterable[Message], model: str) -> list[dict[str, Any]]:
    """The turns; those of one speaker that follow each other are one turn.

    Raises CallError for a URL, arguments or a tool's result that cannot be sent.
    """
    spoken = [turn for turn in messages if turn.role is not Role.SYSTEM]
    calls: Calls = {}
    contents = []
    for role, turns in groupby(spoken, key=lambda turn: SPEAKERS[turn.role]):
        parts: list[dict[str, Any]] = []
        for turn in sorted(turns, key=lambda turn: _place(turn, calls)):
            for call in turn.tool_calls:
                calls[call.id] = (len(calls), call)
            parts += _parts_of(turn, calls, model)
        if parts:
            contents.append({"role": role, "parts": parts})
    return contents


def _place(turn: Message, calls: Calls) -> int:
    """Results first, in their calls' order: without ids the wire matches them by name and order."""
    place, _ = calls.get(turn.tool_call_id or "", (len(calls), None))
    return place


def _parts_of(turn: Message, calls: Calls, model: str) -> list[dict[str, Any]]:
    if turn.role is Role.TOOL:
        media = [part for part in turn.parts if isinstance(part, ImagePart | FilePart)]
        return [_result_of(turn, calls), *map(_part, media)]
    parts: list[dict[str, Any]] = []
    for part in turn.parts:
        if not isinstance(part, OpaquePart):
            parts.append(_part(part))
        elif part.wire == WIRE:
            _echo(part.data, parts)
    return [*parts, *_calls_of(turn, model)]


def _echo(data: Mapping[str, Any], parts: list[dict[str, Any]]) -> None:
    """Send back what only this wire reads; a signature alone is that of the part before it."""
    if set(data) == {"thoughtSignature"} and parts and "thoughtSignature" not in parts[-1]:
        parts[-1] = {**parts[-1], **data}
    else:
        parts.append({"text": "", **data} if set(data) == {"thoughtSignature"} else dict(data))


def _calls_of(turn: Message, model: str) -> list[dict[str, Any]]:
    parts = [
        {
            "functionCall": {**_id_of(call.id), "name": call.name, "args": _arguments(call)},
            **({"thoughtSignature": call.signature} if call.signature else {}),
        }
        for call in turn.tool_calls
    ]
    if parts and not UNSIGNED.search(model) and not any(call.signature for call in turn.tool_calls):
        parts[0]["thoughtSignature"] = NO_SIGNATURE
    return parts


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments as an object. Raises CallError for anything else."""
    value = _json(call.arguments or "{}")
    if isinstance(value, dict):
        return value
    message = f"messages: the arguments of tool call {call.id!r} must be a JSON object for Gemini"
    raise CallError(FailureKind.BAD_REQUEST, message)


def _result_of(turn: Message, calls: Calls) -> dict[str, Any]:
    """A tool's result; it needs the name, which only the call tells. Raises CallError without."""
    call_id = turn.tool_call_id or ""
    if call_id not in calls:
        message = f"messages: tool_call_id {call_id!r} answers no tool call before it"
        raise CallError(FailureKind.BAD_REQUEST, message)
    value = _json(turn.text)
    if turn.is_error or not isinstance(value, dict):
        value = {"error" if turn.is_error else "result": turn.text}
    _, call = calls[call_id]
    return {"functionResponse": {**_id_of(call_id), "name": call.name, "response": value}}


def _id_of(call_id: str) -> dict[str, str]:
    return {} if OUR_CALL_ID.fullmatch(call_id) else {"id": call_id}


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _part(part: TextPart | ImagePart | FilePart) -> dict[str, Any]:
    match part:
        case TextPart(text=text):
            return {"text": text}
        case ImagePart(url=url) | FilePart(url=url):
            return _media(url)


def _media(url: str) -> dict[str, Any]:
    """The bytes of a data URL. Raises CallError for other URLs."""
    if data := DATA_URL.match(url):
        return {"inlineData": {"mimeType": data[1], "data": url[data.end() :]}}
    raise CallError(
        FailureKind.BAD_REQUEST,
        "messages: Gemini takes images and files as data:…;base64,…, not by a URL that begins "
        f"with {url[:8]!r}",
    )
