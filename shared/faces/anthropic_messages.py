"""Turns of Anthropic's messages in the normal form: system, texts, images, tools' calls, thought.

Results of tools stand in a turn of the user there; here each is a turn of its own.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from shared.domain.errors import InvalidRequestError
from shared.faces.anthropic_carried import is_carrier, placed, unpacked
from shared.faces.openai_messages import Json, chosen, wanted

WIRE: Final = "anthropic"
ROLES: Final = {"user": "user", "assistant": "assistant", "system": "system"}
TEXT_OR_BLOCKS: Final = "a string or a list of blocks"


def messages_of(body: Mapping[str, Any]) -> list[Json]:
    """The system prompt and all turns. Raises InvalidRequestError that names the caller's place."""
    turns = wanted(body.get("messages", []), list, "messages", "a list of messages")
    said = [m for n, turn in enumerate(turns) for m in _turn(turn, f"messages[{n}]")]
    system = body.get("system")
    return [{"role": "system", "content": _content(system, "system")}, *said] if system else said


def _turn(value: Any, where: str) -> list[Json]:
    turn = wanted(value, dict, where, "an object")
    role = chosen(ROLES, turn.get("role"), f"{where}.role")
    content, place = turn.get("content"), f"{where}.content"
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    blocks = [
        wanted(block, dict, f"{place}[{n}]", "an object")
        for n, block in enumerate(wanted(content, list, place, TEXT_OR_BLOCKS))
    ]
    return _assistant(blocks, place) if role == "assistant" else _asked(role, blocks, place)


def _asked(role: str, blocks: list[Json], where: str) -> list[Json]:
    """A turn of the user: what tools gave comes first, as the model asked for it."""
    results, parts = [], []
    for number, block in enumerate(blocks):
        place = f"{where}[{number}]"
        if block.get("type") == "tool_result":
            results.append(_tool_result(block, place))
        else:
            parts.append(_part(block, place))
    return [*results, {"role": role, "content": parts}] if parts or not results else results


def _tool_result(block: Json, where: str) -> Json:
    result = {
        "role": "tool",
        "tool_call_id": block.get("tool_use_id"),
        "content": _content(block.get("content"), f"{where}.content"),
    }
    return {**result, "is_error": True} if block.get("is_error") else result


def _content(value: Any, where: str) -> str | list[Json]:
    if value is None or isinstance(value, str):
        return value or ""
    blocks = wanted(value, list, where, TEXT_OR_BLOCKS)
    return [_part(block, f"{where}[{number}]") for number, block in enumerate(blocks)]


def _part(value: Any, where: str) -> Json:
    block = wanted(value, dict, where, "an object")
    return chosen(PARTS, block.get("type"), f"{where}.type")(block, where)


def _text(block: Json, where: str) -> Json:
    text = wanted(block.get("text"), str, f"{where}.text", "a string")
    return {"type": "text", "text": text}


def _image(block: Json, where: str) -> Json:
    return {"type": "image", "url": _url(block, where)}


def _document(block: Json, where: str) -> Json:
    name = {"filename": block["title"]} if block.get("title") else {}
    return {"type": "file", "url": _url(block, where), **name}


def _search_result(block: Json, where: str) -> Json:
    """A passage that the caller found: its place, then its text."""
    parts = _content(block.get("content"), f"{where}.content")
    lines = (block.get("title"), block.get("source"), _text_of(parts))
    return {"type": "text", "text": "\n".join(str(line) for line in lines if line)}


PARTS: Final[Mapping[str, Callable[[Json, str], Json]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}


def _url(block: Json, where: str) -> str:
    """Where the bytes are: an address, or themselves."""
    place = f"{where}.source"
    source = wanted(block.get("source"), dict, place, "an object")
    url = chosen(SOURCES, source.get("type"), f"{place}.type")(source, place)
    return wanted(url, str, place, "complete")


def _stored(_: Json, where: str) -> str:
    message = f"{where}.file_id: files of Anthropic's API cannot be sent on; send the bytes"
    raise InvalidRequestError(message, field=f"{where}.file_id")


def _as_text(text: str) -> str:
    return f"data:text/plain;base64,{b64encode(text.encode()).decode()}"


SOURCES: Final[Mapping[str, Callable[[Json, str], Any]]] = {
    "base64": lambda source, _: f"data:{source.get('media_type')};base64,{source.get('data')}",
    "url": lambda source, _: source.get("url"),
    "text": lambda source, _: _as_text(str(source.get("data"))),
    "content": lambda source, where: _as_text(
        _text_of(_content(source.get("content"), f"{where}.content"))
    ),
    "file": _stored,
}


def _text_of(content: str | list[Json]) -> str:
    return content if isinstance(content, str) else "".join(map(_words, content))


def _words(part: Json) -> str:
    return str(part.get("text", ""))


def _assistant(blocks: list[Json], where: str) -> list[Json]:
    """A turn of the model: what only its own wire reads goes back as it came."""
    parts: list[Json] = []
    calls: list[Json] = []
    places: list[Any] = []
    signatures: Json = {}
    for number, block in enumerate(blocks):
        place = f"{where}[{number}]"
        if block.get("type") == "tool_use":
            calls.append(_call(block, place))
        elif is_carrier(block):
            places, signatures = unpacked(block, place)
        elif part := _said(block, place):
            parts.append(part)
    if places:
        parts = list(placed(places, _text_of(parts)))
    turn: Json = {"role": "assistant", "content": parts}
    if calls:
        turn["tool_calls"] = [{**call, **_signed(signatures.get(call["id"]))} for call in calls]
    return [turn]


def _said(block: Json, where: str) -> Json | None:
    """Text, or an opaque part; None for thought that nobody signed: its own wire refuses that."""
    kind = wanted(block.get("type"), str, f"{where}.type", "a string")
    if kind == "text":
        return _text(block, where)
    if kind == "thinking" and not block.get("signature"):
        return None
    data = {name: each for name, each in block.items() if name != "cache_control"}
    return {"type": "opaque", "wire": WIRE, "data": data}


def _call(block: Json, where: str) -> Json:
    arguments = wanted(block.get("input", {}), dict, f"{where}.input", "an object")
    text = orjson.dumps(arguments).decode()
    return {"id": block.get("id"), "name": block.get("name"), "arguments": text}


def _signed(signature: Any) -> Json:
    return {"signature": signature} if signature else {}
