"""Answers of the normal form as OpenAI's API gives them: chats, completions, embeddings."""

import struct
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shared.faces.openai_messages import Json, chosen
from shared.faces.openai_request import CHATS, COMPLETIONS, EMBEDDINGS

FINISH_REASONS: Final = {"refusal": "stop"}
"""A model that declines has come to its end; the message says that it is a refusal."""


def reply_of(url: str, job_id: str, created: int, result: Mapping[str, Any], **asked: Any) -> Json:
    """The body of a 200 for this result, the JSON of a GenerationResult.

    `created`: Unix seconds; `asked`: what shapes an answer, such as `encoding_format`.
    """
    return chosen(REPLIES, url, "url")(job_id, created, result, asked)


def _chat(job_id: str, created: int, result: Mapping[str, Any], _: Mapping[str, Any]) -> Json:
    message: Json = {
        "role": "assistant",
        # Where a model only calls tools or declines, OpenAI says null.
        "content": result.get("content") or (None if _says_otherwise(result) else ""),
        "refusal": result.get("refusal"),
    }
    if calls := calls_of(result):
        message["tool_calls"] = calls
    if citations := result.get("citations"):
        message["annotations"] = [_citation(url) for url in citations]
    choice = {"index": 0, "message": message, "finish_reason": finish_of(result), "logprobs": None}
    return {**_head(f"chatcmpl-{job_id}", "chat.completion", created, result), "choices": [choice]}


def _completion(job_id: str, created: int, result: Mapping[str, Any], _: Mapping[str, Any]) -> Json:
    text = {"index": 0, "text": result.get("content", ""), "finish_reason": finish_of(result)}
    head = _head(f"cmpl-{job_id}", "text_completion", created, result)
    return {**head, "choices": [{**text, "logprobs": None}]}


def _embedding(_: str, __: int, result: Mapping[str, Any], asked: Mapping[str, Any]) -> Json:
    vectors: Sequence[Sequence[float]] = result.get("embeddings", ())
    shape: Callable[[Sequence[float]], Any] = (
        _as_base64 if asked.get("encoding_format") == "base64" else list
    )
    tokens = (result.get("usage") or {}).get("input_tokens", 0)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": shape(vector)}
            for number, vector in enumerate(vectors)
        ],
        "model": result["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


REPLIES: Final[Mapping[str, Callable[[str, int, Mapping[str, Any], Mapping[str, Any]], Json]]] = {
    CHATS: _chat,
    COMPLETIONS: _completion,
    EMBEDDINGS: _embedding,
}


def usage_of(usage: Mapping[str, Any] | None) -> Json | None:
    """Tokens in OpenAI's names; None where nobody knows them."""
    if usage is None:
        return None
    tokens_in, tokens_out = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {
            "cached_tokens": usage.get("cached_tokens", 0),
            "audio_tokens": usage.get("audio_input_tokens", 0),
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.get("reasoning_tokens", 0),
            "audio_tokens": usage.get("audio_output_tokens", 0),
        },
    }


def _head(id_: str, kind: str, created: int, result: Mapping[str, Any]) -> Json:
    return {
        "id": id_,
        "object": kind,
        "created": created,
        "model": result["model"],
        "usage": usage_of(result.get("usage")),
    }


def _says_otherwise(result: Mapping[str, Any]) -> bool:
    return bool(result.get("tool_calls") or result.get("refusal"))


def finish_of(result: Mapping[str, Any]) -> str:
    """Why the model stopped, in OpenAI's words."""
    reason: str = result["finish_reason"]
    return FINISH_REASONS.get(reason, reason)


def calls_of(result: Mapping[str, Any]) -> list[Json]:
    """The calls of tools that an answer asks for."""
    return [_call(call) for call in result.get("tool_calls") or ()]


def _call(call: Mapping[str, Any]) -> Json:
    function = {"name": call["name"], "arguments": call["arguments"]}
    told: Json = {"id": call["id"], "type": "function", "function": function}
    if signature := call.get("signature"):
        told["extra_content"] = {"google": {"thought_signature": signature}}
    return told


def _citation(url: str) -> Json:
    place = {"url": url, "title": url, "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": place}


def _as_base64(vector: Sequence[float]) -> str:
    """Little-endian float32, as OpenAI's SDK asks for it."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
