"""OpenAI's Responses: writing an answer as items, whole or event by event."""

from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from simulator.answers import written
from simulator.call import Answer, Reply, ToolCall
from simulator.wires.thought import call_id, seal
from simulator.wires.wire import Json, named_event, pieces, slices

INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
PAGE: Final = {"url": "https://example.com/tea", "title": "Tea"}
Told = tuple[str, Json]
"""The type of an event, and the rest of it."""


def document(reply: Reply) -> Json:
    """A response without its usage."""
    reason = INCOMPLETE.get(reply.answer.finish_reason)
    return {
        "id": f"resp_{_bare_id(reply)}",
        "object": "response",
        "created_at": reply.created,
        "completed_at": None if reason else reply.created,
        "status": "incomplete" if reason else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "max_output_tokens": reply.call.max_tokens,
        "metadata": {},
        "model": reply.call.model,
        "output": _items(reply, "incomplete" if reason else "completed"),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
    }


def events(whole: Json) -> tuple[list[bytes], list[bytes]]:
    """The events of a response, and apart from them the one that ends it."""
    numbers = count()
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    told: list[Told] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
    ]
    for index, item in enumerate(whole["output"]):
        told += _item_events(index, item)
    ended = (f"response.{whole['status']}", {"response": whole})

    def numbered(each: Told) -> bytes:
        kind, rest = each
        return named_event(kind, {"type": kind, "sequence_number": next(numbers), **rest})

    return [numbered(each) for each in told], [numbered(ended)]


def _items(reply: Reply, status: str) -> list[Json]:
    answer, number = reply.answer, _bare_id(reply)
    items: list[Json] = []
    if answer.thought_tokens:
        thought: Json = {"type": "reasoning", "id": f"rs_{number}", "summary": []}
        if reply.call.extras["encrypted"]:
            thought["encrypted_content"] = encrypted(thought["id"])
        items.append(thought)
    if reply.call.searches:
        action = {"type": "search", "query": reply.call.text[:40], "sources": []}
        search = {"type": "web_search_call", "id": f"ws_{number}", "status": "completed"}
        items.append({**search, "action": action})
    items += [
        {
            "type": "function_call",
            "id": call.id.replace("call_", "fc_"),
            "call_id": _call_id(call, reply),
            "name": call.name,
            "arguments": written(call),
            "status": "completed",
        }
        for call in answer.tool_calls
    ]
    if answer.text or answer.refusal is not None:
        message = {"type": "message", "id": f"msg_{number}", "status": status, "role": "assistant"}
        items.append({**message, "content": [_content(answer, cites=bool(reply.call.searches))]})
    return items


def encrypted(item_id: str) -> str:
    """What a reasoning item of this id holds, to be taken back."""
    return f"enc_{seal(item_id)}"


def _call_id(call: ToolCall, reply: Reply) -> str:
    """Where no thought is told, none can come back."""
    return call_id(call, reply.answer, "call_") if reply.call.extras["encrypted"] else call.id


def _content(answer: Answer, *, cites: bool) -> Json:
    if answer.refusal is not None:
        return {"type": "refusal", "refusal": answer.refusal}
    cited = {"type": "url_citation", "start_index": 0, "end_index": min(len(answer.text), 20)}
    notes = [{**cited, **PAGE}] if cites else []
    return {"type": "output_text", "text": answer.text, "annotations": notes, "logprobs": []}


def _item_events(index: int, item: Json) -> Iterator[Told]:
    """An item from its beginning to its end."""
    place = {"output_index": index, "item_id": item["id"]}
    begun = {**item, "status": "in_progress"} | {k: EMPTY[k] for k in item if k in EMPTY}
    yield "response.output_item.added", {"output_index": index, "item": begun}
    if item["type"] == "function_call":
        name = "response.function_call_arguments"
        for piece in slices(item["arguments"]):
            yield f"{name}.delta", {**place, "delta": piece}
        yield f"{name}.done", {**place, "arguments": item["arguments"], "name": item["name"]}
    elif item["type"] == "web_search_call":
        for step in ("in_progress", "searching", "completed"):
            yield f"response.web_search_call.{step}", place
    for number, part in enumerate(item.get("content", ())):
        yield from _part_events({**place, "content_index": number}, part)
    yield "response.output_item.done", {"output_index": index, "item": item}


EMPTY: Final[dict[str, Any]] = {"content": [], "arguments": ""}
"""What an item has not when it begins."""


def _part_events(place: Json, part: Json) -> Iterator[Told]:
    kind = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if kind == "refusal" else "response.output_text"
    begun = {**part, kind: ""} | ({"annotations": []} if kind == "text" else {})
    more: Json = {"logprobs": []} if kind == "text" else {}
    yield "response.content_part.added", {**place, "part": begun}
    for piece in pieces(part[kind]):
        yield f"{name}.delta", {**place, "delta": piece, **more}
    for number, note in enumerate(part.get("annotations", ())):
        told = {**place, "annotation_index": number, "annotation": note}
        yield "response.output_text.annotation.added", told
    yield f"{name}.done", {**place, kind: part[kind], **more}
    yield "response.content_part.done", {**place, "part": part}


def _bare_id(reply: Reply) -> str:
    return reply.request_id.removeprefix("req_")
