"""Gemini: writing an answer whole or piece by piece."""

from typing import Any, Final

from simulator.call import Answer, Reply, ToolCall
from simulator.wires.gemini_body import SIGNED, THINKING, signature
from simulator.wires.wire import Json, event, pieces

FINISH: Final = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}
"""A script's own word goes as it is."""
PAGE: Final = {"web": {"uri": "https://example.com/tea", "title": "Tea"}}


def response(reply: Reply) -> Json:
    """The whole answer."""
    if reply.answer.block_reason is not None:
        return _blocked(reply)
    parts = _parts(reply)
    if reply.answer.text:
        parts.append({"text": reply.answer.text})
    return _chunk(reply, parts, _finish(reply.answer))


def chunks(reply: Reply) -> tuple[list[bytes], list[bytes]]:
    """A response for each piece, the last of which says why it ended."""
    if reply.answer.block_reason is not None:
        return [], [event(_blocked(reply))]
    parts = _parts(reply)
    if reply.answer.text:
        parts += [{"text": piece} for piece in pieces(reply.answer.text)]
    begun = [event(_chunk(reply, [part], None)) for part in parts[:-1]]
    return begun, [event(_chunk(reply, parts[-1:], _finish(reply.answer)))]


def _chunk(reply: Reply, parts: list[Json], finish_reason: str | None) -> Json:
    candidate: Json = {"index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    if finish_reason is not None:
        candidate["finishReason"] = finish_reason
        if reply.call.searches:
            query = reply.call.text[:40]
            candidate["groundingMetadata"] = {
                "webSearchQueries": [query],
                "groundingChunks": [PAGE],
            }
    return {"candidates": [candidate], **_frame(reply)}


def _blocked(reply: Reply) -> Json:
    return {"promptFeedback": {"blockReason": reply.answer.block_reason}, **_frame(reply)}


def _frame(reply: Reply) -> Json:
    frame: Json = {"modelVersion": reply.call.model, "responseId": reply.request_id}
    if reply.with_usage:
        frame["usageMetadata"] = _usage(reply)
    return frame


def _parts(reply: Reply) -> list[Json]:
    """All but the text."""
    answer, parts = reply.answer, list[Json]()
    if answer.thought and reply.call.extras["shows_thought"]:
        parts.append({"text": answer.thought, "thought": True})
    with_ids = reply.call.extras["with_ids"]
    parts += [{"functionCall": _call(call, with_ids=with_ids)} for call in answer.tool_calls]
    # Of parallel calls the first alone is signed; nothing is by models that do not think.
    if answer.tool_calls and THINKING.match(reply.call.model):
        first = answer.tool_calls[0]
        if answer.thought_tokens or SIGNED.match(reply.call.model):
            place = len(parts) - len(answer.tool_calls)
            parts[place]["thoughtSignature"] = signature(first.name, first.arguments)
    return parts


def _call(call: ToolCall, *, with_ids: bool) -> dict[str, Any]:
    named = {"id": call.id} if with_ids else {}
    return {**named, "name": call.name, "args": call.arguments}


def _usage(reply: Reply) -> Json:
    """Zeros are left out, as Google's JSON leaves them out."""
    call, answer = reply.call, reply.answer
    counts = {
        "promptTokenCount": call.input_tokens,
        "candidatesTokenCount": answer.tokens - answer.thought_tokens,
        "thoughtsTokenCount": answer.thought_tokens,
        "cachedContentTokenCount": call.cached_tokens,
        "totalTokenCount": call.input_tokens + answer.tokens,
    }
    return {name: count for name, count in counts.items() if count}


def _finish(answer: Answer) -> str:
    return FINISH.get(answer.finish_reason, answer.finish_reason)
