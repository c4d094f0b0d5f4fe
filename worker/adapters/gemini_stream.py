"""Puts Gemini's streamed pieces together: what is new in each, and the whole at the end."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.domain.clock import Clock
from shared.domain.generation import Delta, GenerationResult
from worker.adapters.base import WireError
from worker.adapters.gemini_refusals import refusal
from worker.adapters.gemini_reply import MALFORMED, from_wire, tool_calls


class Assembler:
    """Eats the chunks of one streamed reply, each a reply of its own with what is new."""

    def __init__(self, model: str, clock: Clock, *, calls_before: int = 0) -> None:
        self.response_id: str | None = None
        self.ended = False
        """The provider has said why it stopped, or that it blocked the prompt."""
        self._model = model
        self._clock = clock
        self._calls_before = calls_before
        self._calls = 0
        self._body: dict[str, Any] = {}
        self._candidate: dict[str, Any] = {}
        self._parts: list[dict[str, Any]] = []
        self._grounding: dict[str, list[Any]] = {}

    def eat(self, event: Any) -> list[Delta]:
        """What is new. Raises CallError for an error and WireError for what is no chunk."""
        try:
            if event.get("error"):
                raise refusal(event, self._clock.now())
            self.response_id = event.get("responseId") or self.response_id
            # Each chunk's usage is of all until then: the last word wins.
            self._body |= {name: value for name, value in event.items() if name != "candidates"}
            pieces = list(self._eaten(event.get("candidates") or ()))
            blocked = (self._body.get("promptFeedback") or {}).get("blockReason")
            self.ended = bool(self._candidate.get("finishReason") or blocked)
        except MALFORMED as error:
            message = f"the stream holds what is no chunk ({type(error).__name__}: {error})"
            raise WireError(message) from None
        return pieces

    def result(self) -> GenerationResult:
        """The whole answer. Raises WireError without its end, and as `from_wire`."""
        if not self.ended:
            message = "the stream ended before the answer did"
            raise WireError(message)
        content = {"content": {"parts": self._parts}, "groundingMetadata": self._grounding}
        candidates = [{**self._candidate, **content}] if self._candidate else []
        body = {**self._body, "candidates": candidates}
        return from_wire(body, self._model, calls_before=self._calls_before)

    def _eaten(self, candidates: Any) -> Iterator[Delta]:
        for candidate in candidates[:1]:
            self._candidate |= {name: value for name, value in candidate.items() if value}
            self._ground(candidate.get("groundingMetadata") or {})
            for part in (candidate.get("content") or {}).get("parts") or ():
                yield from self._told(part)
                self._add(part)

    def _told(self, part: Mapping[str, Any]) -> Iterator[Delta]:
        for call in tool_calls([part], self._calls_before + self._calls):
            yield Delta(
                tool_call=self._calls,
                tool_call_id=call.id,
                tool_name=call.name,
                arguments=call.arguments,
            )
            self._calls += 1
        if text := part.get("text"):
            yield Delta(reasoning=text) if part.get("thought") else Delta(text=text)

    def _add(self, part: Mapping[str, Any]) -> None:
        """Text that goes on is one part; what is signed stands alone, and so it must go back."""
        before = self._parts[-1] if self._parts else {}
        goes_on = (
            "text" in part
            and "text" in before
            and part.get("thought") == before.get("thought")
            and "thoughtSignature" not in {**before, **part}
        )
        if goes_on:
            self._parts[-1] = {**before, **part, "text": before["text"] + part["text"]}
        else:
            self._parts.append(dict(part))

    def _ground(self, grounding: Mapping[str, Any]) -> None:
        """Pieces may repeat what earlier ones said of searches and sources."""
        for name in ("webSearchQueries", "groundingChunks"):
            known = self._grounding.setdefault(name, [])
            known += [each for each in grounding.get(name) or () if each not in known]
