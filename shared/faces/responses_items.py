"""Items of OpenAI's Responses as turns of a conversation, and turns as items."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from shared.domain.errors import InvalidRequestError
from shared.faces.openai_messages import ROLES, Json, chosen, wanted

SET_ASIDE: Final = frozenset(
    {"reasoning", "web_search_call", "file_search_call", "compaction", "code_interpreter_call"}
)
"""Items that hold no word of the conversation that another provider could read."""


def turns_of(value: Any, where: str) -> list[Json]:
    """The turns that an `input` says. Raises InvalidRequestError that names the caller's place."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    turns: list[Json] = []
    for number, each in enumerate(wanted(value, list, where, "a string or a list of items")):
        place = f"{where}[{number}]"
        item = wanted(each, dict, place, "an object")
        kind = item.get("type") or "message"
        if not (isinstance(kind, str) and kind in SET_ASIDE):
            chosen(ITEMS, kind, f"{place}.type")(item, place, turns)
    return turns


def answer_turn(result: Mapping[str, Any]) -> Json:
    """The assistant's turn that this result was, to go on from; `result` as it is stored."""
    said = result.get("parts") or result.get("content") or result.get("refusal") or ""
    turn: Json = {"role": "assistant", "content": said}
    if calls := result.get("tool_calls"):
        turn["tool_calls"] = calls
    return turn


def items_of(turns: Iterable[Mapping[str, Any]], suffix: str) -> list[Json]:
    """Stored turns as input items; their ids end with the suffix and their number."""
    found = [item for turn in turns for item in _items(turn)]
    return [
        {"id": f"{PREFIXES[item['type']]}_{suffix}_{number}", **item}
        for number, item in enumerate(found)
    ]


def call_item(call: Mapping[str, Any]) -> Json:
    """A tool call as an item, without its id and status."""
    item: Json = {
        "type": "function_call",
        "call_id": call["id"],
        "name": call["name"],
        "arguments": call["arguments"],
    }
    # What the item has no field for comes back beside its own fields, as it was given.
    if signature := call.get("signature"):
        item["extra_content"] = {"google": {"thought_signature": signature}}
    return item


def _message(item: Json, where: str, turns: list[Json]) -> None:
    role = chosen(ROLES, item.get("role"), f"{where}.role")
    content = _content(item.get("content"), f"{where}.content")
    last = turns[-1] if turns else {}
    if role == "assistant" == last.get("role") and not last["content"]:
        # It called first and spoke then: one turn, so that the results follow the calls.
        last["content"] = content
    else:
        turns.append({"role": role, "content": content})


def _call(item: Json, where: str, turns: list[Json]) -> None:
    named = {
        name: wanted(item.get(source), str, f"{where}.{source}", "a string")
        for name, source in (("id", "call_id"), ("name", "name"), ("arguments", "arguments"))
    }
    more = item.get("extra_content")
    google = more.get("google") if isinstance(more, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    if not turns or turns[-1]["role"] != "assistant":
        turns.append({"role": "assistant", "content": ""})
    calls = turns[-1].setdefault("tool_calls", [])
    calls.append({**named, **({"signature": signature} if signature else {})})


def _call_output(item: Json, where: str, turns: list[Json]) -> None:
    call_id = wanted(item.get("call_id"), str, f"{where}.call_id", "a string")
    content = _content(item.get("output"), f"{where}.output")
    turns.append({"role": "tool", "tool_call_id": call_id, "content": content})


ITEMS: Final[Mapping[str, Callable[[Json, str, list[Json]], None]]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _call_output,
}


def _content(value: Any, where: str) -> str | list[Json]:
    """What is said; one text alone is a string, which every provider takes."""
    if value is None or isinstance(value, str):
        return value or ""
    listed = wanted(value, list, where, "a string or a list of parts")
    parts = [_part(part, f"{where}[{number}]") for number, part in enumerate(listed)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _part(value: Any, where: str) -> Json:
    part = wanted(value, dict, where, "an object")
    return chosen(PARTS, part.get("type"), f"{where}.type")(part, where)


def _text(part: Json, where: str) -> Json:
    return {"type": "text", "text": wanted(part.get("text"), str, f"{where}.text", "a string")}


def _refusal(part: Json, where: str) -> Json:
    said = wanted(part.get("refusal"), str, f"{where}.refusal", "a string")
    return {"type": "text", "text": said}


def _image(part: Json, where: str) -> Json:
    url = _source(part, where, "image_url")
    return {"type": "image", "url": url, **({"detail": part["detail"]} if _detail(part) else {})}


def _detail(part: Json) -> bool:
    """Whether it says how closely to look, in a word of the normal form."""
    return part.get("detail") in ("auto", "low", "high")


def _file(part: Json, where: str) -> Json:
    source = "file_url" if part.get("file_url") else "file_data"
    name = {"filename": part["filename"]} if part.get("filename") else {}
    return {"type": "file", "url": _source(part, where, source), **name}


def _source(part: Json, where: str, name: str) -> str:
    if part.get(name) is None:
        message = f"{where}.{name}: it is missing; stored files (file_id) cannot be sent on"
        raise InvalidRequestError(message, field=f"{where}.{name}")
    return wanted(part[name], str, f"{where}.{name}", "a string")


PARTS: Final[Mapping[str, Callable[[Json, str], Json]]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
}


PREFIXES: Final = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}


def _items(turn: Mapping[str, Any]) -> Iterator[Json]:
    said = turn.get("content") or ""
    parts = [{"type": "text", "text": said}] if isinstance(said, str) else said
    text = "output_text" if turn["role"] == "assistant" else "input_text"
    content = [shown for part in parts if (shown := _shown(part, text))]
    if turn["role"] == "tool":
        output = said if isinstance(said, str) else content
        call_id = turn.get("tool_call_id")
        yield {"type": "function_call_output", "call_id": call_id, "output": output}
    elif said:
        yield {
            "type": "message", "role": turn["role"], "status": "completed", "content": content
        }  # fmt: skip
    for call in turn.get("tool_calls") or ():
        yield {**call_item(call), "status": "completed"}


def _shown(part: Mapping[str, Any], text: str) -> Json | None:
    """A part of the normal form as a part of an item; None: it is for one provider only."""
    match part["type"]:
        case "text" if text == "output_text":
            return {"type": text, "text": part["text"], "annotations": []}
        case "text":
            return {"type": text, "text": part["text"]}
        case "image":
            detail = part.get("detail") or "auto"
            return {"type": "input_image", "image_url": part["url"], "detail": detail}
        case "file":
            source = "file_data" if part["url"].startswith("data:") else "file_url"
            name = {"filename": part["filename"]} if part.get("filename") else {}
            return {"type": "input_file", source: part["url"], **name}
        case _:
            return None
