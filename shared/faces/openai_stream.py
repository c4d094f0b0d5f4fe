"""Streams of OpenAI's API: the chunks of a chat or a completion, made of what a job tells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from shared.faces.openai_messages import Json
from shared.faces.openai_reply import calls_of, finish_of, usage_of

DONE: Final = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> bytes:
    """One event; OpenAI's streams of chunks name none."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


@dataclass(slots=True)
class Chunks:
    """The stream of one answer; it knows what it has said."""

    id: str
    created: int
    """Unix seconds."""
    model: str
    with_usage: bool = False
    """The last chunk tells the usage."""
    begun: bool = field(default=False, init=False)
    """Something of the answer was said, which cannot be taken back."""
    kind: str = field(default="chat.completion.chunk", init=False)

    def of(self, delta: Mapping[str, Any]) -> Iterator[bytes]:
        """What follows from the JSON of a Delta."""
        if said := self._said(delta):
            yield from self._beginning(said)
            yield self._chunk(said)

    def rest(self, result: Mapping[str, Any]) -> Iterator[bytes]:
        """What the JSON of a GenerationResult still lacks: all of it, if nothing was said."""
        if not self.begun:
            for delta in pieces_of(result):
                yield from self.of(delta)
        yield from self._beginning({})
        yield from self._late(result)
        yield self._chunk({}, finish_of(result))
        if self.with_usage:
            yield event(self._head() | {"choices": [], "usage": usage_of(result.get("usage"))})
        yield DONE

    def _said(self, delta: Mapping[str, Any]) -> Json:
        said: Json = {theirs: delta[ours] for ours, theirs in TEXTS.items() if delta.get(ours)}
        if delta.get("tool_call") is not None:
            said["tool_calls"] = [_call(delta)]
        return said

    def _beginning(self, said: Json) -> Iterator[bytes]:
        """The chunk that says who speaks."""
        if not self.begun:
            self.begun = True
            content = None if "tool_calls" in said else ""
            yield self._chunk({"role": "assistant", "content": content, "refusal": None})

    def _late(self, result: Mapping[str, Any]) -> Iterator[bytes]:
        """What is known at the end only."""
        signed = [
            {"index": number, "extra_content": call["extra_content"]}
            for number, call in enumerate(calls_of(result))
            if "extra_content" in call
        ]
        if signed:
            yield self._chunk({"tool_calls": signed})

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return self._with(choice)

    def _with(self, choice: Json) -> bytes:
        usage = {"usage": None} if self.with_usage else {}
        return event(self._head() | {"choices": [choice]} | usage)

    def _head(self) -> Json:
        return {
            "id": self.id,
            "object": self.kind,
            "created": self.created,
            "model": self.model,
        }


@dataclass(slots=True)
class TextChunks(Chunks):
    """The stream of a legacy completion: text, and nobody who speaks."""

    kind: str = field(default="text_completion", init=False)

    def _beginning(self, _: Json) -> Iterator[bytes]:
        self.begun = True
        return iter(())

    def _late(self, _: Mapping[str, Any]) -> Iterator[bytes]:
        return iter(())

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> bytes:
        text = delta.get("content", "")
        return self._with(
            {"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}
        )


TEXTS: Final = {"text": "content", "refusal": "refusal", "reasoning": "reasoning_content"}
"""Texts of a Delta, and what OpenAI's clients, and those of its imitators, call them."""


def pieces_of(result: Mapping[str, Any]) -> Iterator[Json]:
    """A whole answer as Deltas; see shared.domain.generation.deltas_of."""
    yield {"text": result.get("content"), "refusal": result.get("refusal")}
    for number, call in enumerate(result.get("tool_calls") or ()):
        yield {
            "tool_call": number,
            "tool_call_id": call["id"],
            "tool_name": call["name"],
            "arguments": call["arguments"],
        }


def _call(delta: Mapping[str, Any]) -> Json:
    function = {"arguments": delta.get("arguments", "")}
    call: Json = {"index": delta["tool_call"], "function": function}
    if delta.get("tool_call_id"):
        call |= {"id": delta["tool_call_id"], "type": "function"}
    if delta.get("tool_name"):
        function["name"] = delta["tool_name"]
    return call
