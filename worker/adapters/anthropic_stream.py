"""Anthropic's messages, in pieces: the events of a stream become deltas and a message."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from shared.domain.generation import Delta, GenerationResult
from worker.adapters.anthropic_errors import IN_AN_ANSWER, classify, error_of, message_of
from worker.adapters.anthropic_reply import UNREADABLE, from_wire, refusal_of, text_of
from worker.adapters.base import CallError, WireError


class MessageAssembler:
    """Eats a stream's events in order; tells what is new, and at the end the whole."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self._ended = False
        self._eaters: Final[dict[str, Callable[[Any], Delta | None]]] = {
            "message_start": self._start,
            "content_block_start": self._open,
            "content_block_delta": self._grow,
            "message_delta": self._close,
            "message_stop": self._stop,
            "error": self._fail,
        }

    @property
    def ended(self) -> bool:
        """The terminal marker came: nothing is missing."""
        return self._ended

    def eat(self, event: Any) -> tuple[Delta, ...]:
        """The piece that this event brings, if any; events of no known type bring none.

        Raises WireError when it is no event, CallError when it tells that the call failed.
        """
        try:
            eater = self._eaters.get(event["type"])
            delta = eater(event) if eater else None
        except UNREADABLE as error:
            raise _unreadable(error) from None
        return (delta,) if delta else ()

    def result(self) -> GenerationResult:
        """The whole answer. Raises WireError when the stream broke off, and what from_wire does."""
        if not self._ended:
            message = "the stream ended without message_stop"
            raise WireError(message)
        try:
            blocks = [block.whole() for _, block in sorted(self._blocks.items())]
        except UNREADABLE as error:
            raise _unreadable(error) from None
        return from_wire({**self._message, "content": blocks})

    def _start(self, event: Any) -> None:
        self._message = dict(event["message"])

    def _open(self, event: Any) -> Delta | None:
        calls = sum(block.is_call for block in self._blocks.values())
        block = self._blocks[int(event["index"])] = _Block(dict(event["content_block"]), calls)
        return block.opening()

    def _grow(self, event: Any) -> Delta | None:
        return self._blocks[event["index"]].grow(event["delta"])

    def _close(self, event: Any) -> Delta | None:
        """Usage is cumulative, and what the last word leaves out the first has said."""
        self._message |= event["delta"]
        self._message["usage"] = _grown(self._message.get("usage"), event.get("usage"))
        refusal = refusal_of(self._message)
        return Delta(refusal=refusal) if refusal else None

    def _stop(self, event: Any) -> None:  # noqa: ARG002 - it says nothing but its name
        self._ended = True

    def _fail(self, event: Any) -> None:
        error = error_of(event)
        message = f"the stream broke off: {message_of(error) or error}"
        raise CallError(classify(IN_AN_ANSWER, error), message[:500])


class _Block:
    """One block of content while it grows."""

    def __init__(self, block: dict[str, Any], call: int) -> None:
        self._block = block
        self._pieces: dict[str, list[str]] = {}
        self._citations: list[Any] = []
        self._call = call
        self.is_call = block["type"] == "tool_use"

    def opening(self) -> Delta | None:
        """What is known of a block at its start: the name of a call."""
        if not self.is_call:
            return None
        call_id, name = text_of(self._block["id"]), text_of(self._block["name"])
        return Delta(tool_call=self._call, tool_call_id=call_id, tool_name=name)

    def grow(self, delta: dict[str, Any]) -> Delta | None:
        """Keep the piece and tell it, where it is for people or for a tool."""
        match delta["type"]:
            case "text_delta":
                return Delta(text=self._keep("text", delta["text"]))
            case "thinking_delta":
                return Delta(reasoning=self._keep("thinking", delta["thinking"]))
            case "signature_delta":
                self._keep("signature", delta["signature"])
            case "citations_delta":
                self._citations.append(delta["citation"])
            case "input_json_delta":
                piece = self._keep("input", delta["partial_json"])
                if piece and self.is_call:
                    return Delta(tool_call=self._call, arguments=piece)
            case _:
                pass
        return None

    def whole(self) -> dict[str, Any]:
        """The block as a message without stream has it, but for a call's arguments: as written."""
        grown: dict[str, Any] = {name: "".join(each) for name, each in self._pieces.items()}
        if self._citations:
            grown["citations"] = self._citations
        if "input" in grown and not (self.is_call and grown["input"]):
            grown["input"] = orjson.loads(grown["input"] or "{}")
        return {**self._block, **grown}

    def _keep(self, field: str, piece: Any) -> str:
        self._pieces.setdefault(field, []).append(text_of(piece))
        return text_of(piece)


def _grown(first: Any, last: Any) -> Any:
    """The usage with its last word; one that is no table is read, and dropped, at the end."""
    if not isinstance(last, dict) or not isinstance(first, dict | None):
        return last or first
    return {**(first or {}), **{name: each for name, each in last.items() if each is not None}}


def _unreadable(error: Exception) -> WireError:
    return WireError(f"the stream is unreadable ({type(error).__name__}: {error})")
