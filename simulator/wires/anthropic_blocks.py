"""Anthropic's Messages: writing an answer whole or block by block."""

from collections.abc import Iterator
from typing import Final

import orjson

from simulator.call import Answer, Reply
from simulator.wires.anthropic_body import signature
from simulator.wires.thought import call_id
from simulator.wires.wire import Json, named_event, pieces, slices

STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
"""A refusal, and a script's own word, go as they are."""
PAGE: Final = {"url": "https://example.com/tea", "title": "Tea"}


def message(reply: Reply) -> Json:
    """A message; without usage where the script says so."""
    body = _frame(reply) | _ended(reply.answer) | {"content": _blocks(reply)}
    if reply.with_usage:
        body["usage"] = _input_usage(reply) | _output_usage(reply)
    return body


def events(reply: Reply) -> tuple[list[bytes], list[bytes]]:
    """The events in the documented order, and apart from them those that end it."""
    begun = _frame(reply) | {"content": [], "stop_reason": None, "stop_sequence": None}
    if reply.with_usage:
        begun["usage"] = _input_usage(reply) | {"output_tokens": 1}
    parts = [_event("message_start", {"message": begun})]
    for index, block in enumerate(_blocks(reply)):
        deltas = list(_deltas(block))
        parts.append(_event("content_block_start", {"index": index, "content_block": block}))
        if not index:
            parts.append(_event("ping", {}))
        parts += [_event("content_block_delta", {"index": index, "delta": each}) for each in deltas]
        parts.append(_event("content_block_stop", {"index": index}))
    ended: Json = {"delta": _ended(reply.answer)}
    if reply.with_usage:
        ended["usage"] = _output_usage(reply)
    return parts, [_event("message_delta", ended), _event("message_stop", {})]


def _frame(reply: Reply) -> Json:
    return {
        "id": f"msg_{reply.request_id.removeprefix('req_')}",
        "type": "message",
        "role": "assistant",
        "model": reply.call.model,
    }


def _ended(answer: Answer) -> Json:
    reason = STOP_REASONS.get(answer.finish_reason, answer.finish_reason)
    if reason == "end_turn" and answer.stop is not None:
        reason = "stop_sequence"
    ended: Json = {"stop_reason": reason, "stop_sequence": answer.stop}
    if answer.refusal is not None:
        details = {"type": "refusal", "category": "cyber", "explanation": answer.refusal}
        ended["stop_details"] = details
    return ended


def _blocks(reply: Reply) -> list[Json]:
    answer, blocks = reply.answer, list[Json]()
    if answer.thought:
        proof = signature(answer.thought)
        blocks.append({"type": "thinking", "thinking": answer.thought, "signature": proof})
    if reply.call.searches:
        blocks += _search(reply)
    if answer.text:
        text: Json = {"type": "text", "text": answer.text}
        if reply.call.searches:
            text["citations"] = [_citation(answer.text)]
        blocks.append(text)
    blocks += [
        {
            "type": "tool_use",
            "id": call_id(call, answer, "toolu_"),
            "name": call.name,
            "input": call.arguments,
        }
        for call in answer.tool_calls
    ]
    return blocks


def _search(reply: Reply) -> list[Json]:
    name = f"srvtoolu_{reply.request_id.removeprefix('req_')}"
    page = {"type": "web_search_result", **PAGE, "encrypted_content": "cGFnZQ==", "page_age": None}
    query = {"query": reply.call.text[:40]}
    return [
        {"type": "server_tool_use", "id": name, "name": "web_search", "input": query},
        {"type": "web_search_tool_result", "tool_use_id": name, "content": [page]},
    ]


def _citation(text: str) -> Json:
    kind = "web_search_result_location"
    return {"type": kind, **PAGE, "encrypted_index": "aW5kZXg=", "cited_text": text[:20]}


def _deltas(block: Json) -> Iterator[Json]:
    """The deltas of a block, which is emptied of what they tell."""
    kind = block["type"]
    if kind == "thinking":
        thought, proof = block["thinking"], block["signature"]
        block |= {"thinking": "", "signature": ""}
        yield from ({"type": "thinking_delta", "thinking": each} for each in pieces(thought))
        yield {"type": "signature_delta", "signature": proof}
    elif kind == "text":
        text, citations = block["text"], block.pop("citations", ())
        block["text"] = ""
        yield from ({"type": "text_delta", "text": each} for each in pieces(text))
        yield from ({"type": "citations_delta", "citation": each} for each in citations)
    elif "input" in block:
        whole = orjson.dumps(block["input"]).decode()
        block["input"] = {}
        yield from ({"type": "input_json_delta", "partial_json": each} for each in slices(whole))


def _input_usage(reply: Reply) -> Json:
    call = reply.call
    short, long = call.cache_write_tokens, call.cache_write_1h_tokens
    return {
        "input_tokens": call.input_tokens - call.cached_tokens - short - long,
        "cache_read_input_tokens": call.cached_tokens,
        "cache_creation_input_tokens": short + long,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "service_tier": "standard",
    }


def _output_usage(reply: Reply) -> Json:
    answer = reply.answer
    usage: Json = {"output_tokens": answer.tokens}
    if answer.thought_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": answer.thought_tokens}
    if reply.call.searches:
        searched = {"web_search_requests": reply.call.searches, "web_fetch_requests": 0}
        usage["server_tool_use"] = searched
    return usage


def _event(name: str, value: Json) -> bytes:
    return named_event(name, {"type": name, **value})
