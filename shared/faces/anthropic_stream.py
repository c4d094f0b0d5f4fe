"""An answer as the events of a stream of Anthropic's API: one block after the other."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from shared.faces.anthropic_carried import carried
from shared.faces.anthropic_reply import (
    begun,
    blocks_of,
    citations_of,
    ending_of,
    usage_of,
)
from shared.faces.openai_messages import Json


def event(kind: str, **fields: Any) -> bytes:
    """One event; clients drop what has no name of its own."""
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **fields}) + b"\n\n"


PING: Final = event("ping")


class MessageStream:
    """What of a message was told, and what comes next."""

    def __init__(self, job_id: str, model: str) -> None:
        self._job_id = job_id
        self._model = model
        self._blocks = 0
        """That were begun."""
        self._open: object = None
        """What the block is that has begun and not ended."""
        self._calls: dict[int, int] = {}
        """The blocks of tool calls, by the calls' numbers."""
        self.begun = False
        """Whether anything was told."""

    def of(self, piece: Mapping[str, Any]) -> Iterator[bytes]:
        """The events for a piece of the answer, the JSON of a Delta."""
        if thought := piece.get("reasoning"):
            yield from self._continue("thinking", {"thinking": "", "signature": ""})
            yield self._delta("thinking_delta", thinking=thought)
        if text := piece.get("text"):
            yield from self._continue("text", {"text": "", "citations": None})
            yield self._delta("text_delta", text=text)
        if (call := piece.get("tool_call")) is not None:
            yield from self._call(call, piece)

    def rest(self, result: Mapping[str, Any]) -> Iterator[bytes]:
        """What is left to tell of the whole answer, the JSON of a GenerationResult."""
        if self._blocks:
            yield from self._last(result)
        else:
            yield from self._begin()
            for block in blocks_of(result):
                yield from self._whole(block)
        yield event("message_delta", delta=ending_of(result), usage=usage_of(result.get("usage")))
        yield event("message_stop")

    def _last(self, result: Mapping[str, Any]) -> Iterator[bytes]:
        """The sources of the text, and the parts that no delta has told."""
        if self._open == "text":
            for citation in citations_of(result):
                yield self._delta("citations_delta", citation=citation)
        if kept := carried(result, native=None):
            yield from self._whole(kept)
        yield from self._close()

    def _begin(self) -> Iterator[bytes]:
        if not self.begun:
            self.begun = True
            yield event("message_start", message=begun(self._job_id, self._model))
            yield PING

    def _continue(self, kind: object, block: Json) -> Iterator[bytes]:
        """The block of this kind that is open, or a new one."""
        if self._open != kind:
            yield from self._start(kind, {"type": kind, **block})

    def _start(self, kind: object, block: Json) -> Iterator[bytes]:
        yield from self._begin()
        yield from self._close()
        yield event("content_block_start", index=self._blocks, content_block=block)
        self._blocks += 1
        self._open = kind

    def _close(self) -> Iterator[bytes]:
        if self._open is not None:
            self._open = None
            yield event("content_block_stop", index=self._blocks - 1)

    def _call(self, number: int, piece: Mapping[str, Any]) -> Iterator[bytes]:
        if number not in self._calls:
            named = {"id": piece.get("tool_call_id"), "name": piece.get("tool_name")}
            yield from self._start(number, {"type": "tool_use", **named, "input": {}})
            self._calls[number] = self._blocks - 1
        if arguments := piece.get("arguments"):
            yield self._delta("input_json_delta", index=self._calls[number], partial_json=arguments)

    def _delta(self, kind: str, *, index: int | None = None, **fields: Any) -> bytes:
        place = self._blocks - 1 if index is None else index
        return event("content_block_delta", index=place, delta={"type": kind, **fields})

    def _whole(self, block: Json) -> Iterator[bytes]:
        """A block that is known from its start to its end."""
        empty, pieces = _taken_apart(block)
        yield from self._start(block["type"], empty)
        for piece in pieces:
            yield self._delta(piece.pop("type"), **piece)
        yield from self._close()


def _taken_apart(block: Json) -> tuple[Json, list[Json]]:
    """A block as it begins, and its pieces: clients add up what they are told."""
    match block["type"]:
        case "text":
            cited = block.get("citations") or ()
            sources = [{"type": "citations_delta", "citation": citation} for citation in cited]
            pieces = [{"type": "text_delta", "text": block["text"]}, *sources]
            return {**block, "text": "", "citations": None}, pieces
        case "thinking":
            thought = {"type": "thinking_delta", "thinking": block.get("thinking", "")}
            signed = {"type": "signature_delta", "signature": block.get("signature", "")}
            return {**block, "thinking": "", "signature": ""}, [thought, signed]
        case "tool_use" | "server_tool_use":
            text = orjson.dumps(block["input"]).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
        case _:
            return block, []
