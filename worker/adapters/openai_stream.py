"""Streamed chat completions: the pieces as they come, and the whole that they make."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.domain.generation import Delta, GenerationResult
from worker.adapters.base import WireError
from worker.adapters.openai_errors import raise_told
from worker.adapters.openai_usage import MALFORMED
from worker.adapters.openai_wire import OF_THE_WHOLE, from_wire, json_of, our_call_id, text_of


@dataclass(slots=True)
class _Call:
    """A tool call while it comes."""

    given_id: str
    """By the server; empty where it gives none."""
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ChatAssembler:
    """Puts the chunks of one answer together to the body of one that comes whole."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._annotations: list[Any] = []
        self._calls: list[_Call] = []
        self._number_of: dict[Any, int] = {}
        self._finish_reason: Any = None
        self._body: dict[str, Any] = {}

    @property
    def ended(self) -> bool:
        """The last word was said; what comes after it is usage, then `[DONE]`."""
        return self._finish_reason is not None

    def eat(self, chunk: Any) -> list[Delta]:
        """What a chunk adds. Raises WireError when it is none, CallError when it is an error."""
        raise_told(chunk)
        try:
            return list(self._eat(chunk))
        except MALFORMED as error:
            complaint = f"the stream has what is no chunk ({type(error).__name__}: {error})"
            raise WireError(complaint) from None

    def result(self) -> GenerationResult:
        """The whole answer. Raises WireError if it is none."""
        calls = [
            {"id": call.id, "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for call in self._calls
        ]
        message = {
            "content": "".join(self._content) if self._content else None,
            "refusal": "".join(self._refusal) if self._refusal else None,
            "tool_calls": calls,
            "annotations": self._annotations,
        }
        choice = {"message": message, "finish_reason": self._finish_reason}
        return from_wire({**self._body, "choices": [choice]})

    def _eat(self, chunk: Any) -> Iterator[Delta]:
        for name in (*OF_THE_WHOLE, "citations"):
            if value := chunk.get(name):
                self._body[name] = value
        # A chunk without choices tells usage, or what Azure's filter thinks of the prompt.
        for choice in chunk.get("choices") or ():
            yield from self._eat_delta(choice.get("delta") or {})
            self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def _eat_delta(self, delta: Any) -> Iterator[Delta]:
        text, refusal = text_of(delta.get("content")), text_of(delta.get("refusal"))
        if text is not None:
            self._content.append(text)
        if refusal is not None:
            self._refusal.append(refusal)
        self._annotations.extend(delta.get("annotations") or ())
        # The first is what DeepSeek, xAI and vLLM say, the second what OpenRouter says.
        reasoning = text_of(delta.get("reasoning_content") or delta.get("reasoning")) or ""
        if text or refusal or reasoning:
            yield Delta(text=text or "", refusal=refusal or "", reasoning=reasoning)
        for entry in delta.get("tool_calls") or ():
            yield self._eat_call(entry)

    def _eat_call(self, entry: Any) -> Delta:
        number = self._number(entry)
        call, function = self._calls[number], entry.get("function") or {}
        piece = Delta(
            tool_call=number,
            # Told once, though some servers repeat it and some have none.
            tool_call_id="" if call.arguments else call.given_id or our_call_id(number),
            tool_name="" if call.name else str(function.get("name") or ""),
            arguments=json_of(function.get("arguments") or ""),
        )
        call.id = call.id or piece.tool_call_id
        call.name += piece.tool_name
        call.arguments.append(piece.arguments)
        return piece

    def _number(self, entry: Any) -> int:
        """Which call a piece belongs to: by its index, by its id where a server counts wrong."""
        index, given_id = entry.get("index"), str(entry.get("id") or "")
        number = self._number_of.get(index)
        if number is None or self._is_another(number, given_id):
            number = self._number_of[index] = len(self._calls)
            self._calls.append(_Call(given_id))
        return number

    def _is_another(self, number: int, given_id: str) -> bool:
        known = self._calls[number].given_id
        return bool(known and given_id) and known != given_id
