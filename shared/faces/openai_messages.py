"""Messages of OpenAI's chats in the normal form: roles, parts, tool calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from shared.domain.errors import InvalidRequestError

Json = dict[str, Any]
T = TypeVar("T")
ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def messages_of(value: Any, where: str) -> list[Json]:
    """The turns of a chat. Raises InvalidRequestError that names the caller's own place."""
    turns = wanted(value, list, where, "a list of messages")
    return [_message(turn, f"{where}[{number}]") for number, turn in enumerate(turns)]


def wanted(value: Any, kind: type[T], where: str, called: str) -> T:
    """The value, if it is of that type. Raises InvalidRequestError for any other."""
    if not isinstance(value, kind):
        message = f"{where}: it must be {called}"
        raise InvalidRequestError(message, field=where)
    return value


def chosen(table: Mapping[str, T], value: Any, where: str) -> T:
    """What the table has for a word. Raises InvalidRequestError that names the words there are."""
    found = table.get(value) if isinstance(value, str) else None
    if found is None:
        message = f"{where}: it must be one of {', '.join(table)}, not {value!r}"
        raise InvalidRequestError(message, field=where)
    return found


def _message(value: Any, where: str) -> Json:
    turn = wanted(value, dict, where, "an object")
    role = chosen(ROLES, turn.get("role"), f"{where}.role")
    message: Json = {"role": role, "content": _content(turn.get("content"), f"{where}.content")}
    if calls := turn.get("tool_calls"):
        message["tool_calls"] = _calls(calls, f"{where}.tool_calls")
    if "tool_call_id" in turn:
        message["tool_call_id"] = turn["tool_call_id"]
    if refusal := turn.get("refusal"):
        message["content"] = message["content"] or refusal
    return message


def _content(value: Any, where: str) -> str | list[Json]:
    if value is None or isinstance(value, str):
        return value or ""
    parts = wanted(value, list, where, "a string or a list of parts")
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(parts)]


def _part(value: Any, where: str) -> Json:
    part = wanted(value, dict, where, "an object")
    read = chosen(PARTS, part.get("type"), f"{where}.type")
    return read(part, where)


def _text(part: Json, _: str) -> Json:
    return {"type": "text", "text": part.get("text", part.get("refusal"))}


def _image(part: Json, where: str) -> Json:
    image = wanted(part.get("image_url"), dict, f"{where}.image_url", "an object with a url")
    detail = {"detail": image["detail"]} if image.get("detail") else {}
    return {"type": "image", "url": image.get("url"), **detail}


def _file(part: Json, where: str) -> Json:
    file = wanted(part.get("file"), dict, f"{where}.file", "an object with file_data")
    if "file_data" not in file:
        field = f"{where}.file.file_data"
        message = f"{field}: it is missing; stored files (file_id) cannot be sent on"
        raise InvalidRequestError(message, field=field)
    name = {"filename": file["filename"]} if file.get("filename") else {}
    return {"type": "file", "url": file["file_data"], **name}


PARTS: Final[Mapping[str, Callable[[Json, str], Json]]] = {
    "text": _text,
    "refusal": _text,
    "image_url": _image,
    "file": _file,
}


def _calls(value: Any, where: str) -> list[Json]:
    calls: Sequence[Any] = wanted(value, list, where, "a list of tool calls")
    return [_call(call, f"{where}[{number}]") for number, call in enumerate(calls)]


def _call(value: Any, where: str) -> Json:
    call = wanted(value, dict, where, "an object")
    function = wanted(call.get("function"), dict, f"{where}.function", "an object")
    # What an SDK's own fields cannot carry comes back beside them, as it was given.
    signature = call.get("extra_content", {}).get("google", {}).get("thought_signature")
    return {
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments"),
        **({"signature": signature} if signature else {}),
    }
