"""OpenAI's chat completions: writing an answer whole or in chunks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from simulator.answers import written
from simulator.call import Answer, Reply, ToolCall
from simulator.wires.wire import Json, event, pieces, slices


@dataclass(frozen=True, slots=True)
class Style:
    """How a server differs from OpenAI."""

    bare: bool = False
    """It leaves out what only OpenAI tells, and the ids of calls."""
    tells_thought: bool = False
    """It shows what it thought."""


DONE: Final = b"data: [DONE]\n\n"
FINISH: Final = {"refusal": "stop"}
"""A refusal has a field of its own; the others have OpenAI's words."""
ROLE: Final = {"role": "assistant", "content": "", "refusal": None}
BARE_ROLE: Final = {"role": "assistant", "content": ""}


def completion(reply: Reply, style: Style) -> Json:
    """A chat.completion without its usage."""
    answer = reply.answer
    words = answer.text if answer.refusal is None else answer.refusal if style.bare else None
    message: Json = {"role": "assistant", "content": None if answer.tool_calls else words}
    if style.tells_thought and answer.thought:
        message["reasoning_content"] = answer.thought
    if not style.bare:
        message |= {"refusal": answer.refusal, "annotations": []}
    if answer.tool_calls:
        message["tool_calls"] = [_tool_call(call, style) for call in answer.tool_calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer)}
    body = {
        "id": f"chatcmpl-{reply.request_id}",
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.call.model,
        "choices": [choice],
    }
    if not style.bare:
        choice["logprobs"] = None
        body |= {"service_tier": "default", "system_fingerprint": "fp_simulator"}
    return body


def usage(reply: Reply) -> Json:
    """The tokens as they are billed."""
    call, answer = reply.call, reply.answer
    prompt_details = {"cached_tokens": call.cached_tokens, "audio_tokens": 0}
    if call.cache_write_tokens:
        prompt_details["cache_write_tokens"] = call.cache_write_tokens
    return {
        "prompt_tokens": call.input_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": call.input_tokens + answer.tokens,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": {
            "reasoning_tokens": answer.thought_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chunks(reply: Reply, told: Json | None, style: Style) -> tuple[list[bytes], list[bytes]]:
    """The completion as server-sent events, and apart from them those that end it."""
    with_usage = bool(reply.call.extras.get("include_usage"))
    frame: Json = {
        "id": f"chatcmpl-{reply.request_id}",
        "object": "chat.completion.chunk",
        "created": reply.created,
        "model": reply.call.model,
    }
    if not style.bare:
        frame["system_fingerprint"] = "fp_simulator"
    if with_usage:
        frame["usage"] = None
    deltas = _deltas(reply.answer, style)
    ending = [_chunk(frame, {}, _finish(reply.answer))]
    if with_usage:
        ending.append(event({**frame, "choices": [], "usage": told}))
    return [_chunk(frame, delta, None) for delta in deltas], [*ending, DONE]


def _deltas(answer: Answer, style: Style) -> Iterator[Json]:
    yield BARE_ROLE if style.bare else ROLE
    if style.tells_thought and answer.thought:
        yield from ({"reasoning_content": piece} for piece in pieces(answer.thought))
    if answer.refusal is not None:
        field = "content" if style.bare else "refusal"
        yield from ({field: piece} for piece in pieces(answer.refusal))
        return
    if not answer.tool_calls:
        yield from ({"content": piece} for piece in pieces(answer.text))
        return
    for index, call in enumerate(answer.tool_calls):
        whole = _tool_call(call, style)
        arguments = whole["function"].pop("arguments")
        whole["function"]["arguments"] = ""
        yield {"tool_calls": [{"index": index, **whole}]}
        for piece in slices(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _tool_call(call: ToolCall, style: Style) -> dict[str, Any]:
    function = {"name": call.name, "arguments": written(call)}
    named = {} if style.bare else {"id": call.id}
    return {**named, "type": "function", "function": function}


def _finish(answer: Answer) -> str:
    return FINISH.get(answer.finish_reason, answer.finish_reason)


def _chunk(frame: Json, delta: Json, finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return event({**frame, "choices": [choice]})
