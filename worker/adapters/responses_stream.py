"""Streamed responses: the pieces as they come, and the whole that stands in the last event."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.domain.generation import Delta, GenerationResult
from worker.adapters.base import WireError
from worker.adapters.openai_errors import raise_told
from worker.adapters.openai_usage import MALFORMED
from worker.adapters.openai_wire import json_of
from worker.adapters.responses_wire import from_wire

ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})

PIECES: Final[Mapping[str, Callable[[str], Delta]]] = {
    "response.output_text.delta": lambda text: Delta(text=text),
    "response.refusal.delta": lambda text: Delta(refusal=text),
    "response.reasoning_text.delta": lambda text: Delta(reasoning=text),
    "response.reasoning_summary_text.delta": lambda text: Delta(reasoning=text),
}


class ResponseAssembler:
    """Tells the pieces; the last event brings the answer."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._number_of: dict[Any, int] = {}
        self._response: Any = None

    @property
    def ended(self) -> bool:
        """Nothing comes after the last event."""
        return self._response is not None

    def eat(self, event: Any) -> list[Delta]:
        """What an event adds. Raises WireError when it is none, CallError when it is an error."""
        raise_told(event)
        try:
            kind = event["type"]
            if kind in ENDS:
                self._response = event["response"]
            elif kind == "response.output_item.done":
                self._items.append(event["item"])
            elif kind == "response.output_item.added":
                return self._begin(event)
            elif kind == "response.function_call_arguments.delta":
                number = self._number_of[event["output_index"]]
                return [Delta(tool_call=number, arguments="" + event["delta"])]
            elif piece := PIECES.get(kind):
                return [piece("" + event["delta"])]
        except MALFORMED as error:
            complaint = f"the stream has what is no event ({type(error).__name__}: {error})"
            raise WireError(complaint) from None
        return []

    def result(self) -> GenerationResult:
        """The whole answer. Raises WireError if it is none."""
        response = self._response
        # Some servers end with a response that says only how it went.
        if isinstance(response, dict) and not response.get("output"):
            response = {**response, "output": self._items}
        return from_wire(response)

    def _begin(self, event: Any) -> list[Delta]:
        """A tool call begins with its name; other items begin with nothing."""
        item = event["item"]
        if item["type"] != "function_call":
            return []
        number = self._number_of[event["output_index"]] = len(self._number_of)
        call_id = str(item.get("call_id") or item["id"])
        return [
            Delta(
                tool_call=number,
                tool_call_id=call_id,
                tool_name=str(item["name"]),
                arguments=json_of(item.get("arguments") or ""),
            )
        ]
