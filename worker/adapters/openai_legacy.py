"""OpenAI's legacy completions: a prompt is continued."""

from typing import Any

from shared.domain.generation import Delta, GenerationRequest, GenerationResult
from worker.adapters.base import WireError
from worker.adapters.bodies import present
from worker.adapters.openai_errors import raise_told
from worker.adapters.openai_usage import MALFORMED, usage_from_wire
from worker.adapters.openai_wire import FINISH_REASONS, OF_THE_WHOLE


def to_wire(request: GenerationRequest, model: str) -> dict[str, Any]:
    """The body of POST /completions; absent parameters stay absent."""
    return present(
        {
            "model": model,
            "prompt": request.prompt,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "stop": list(request.stop) or None,
            "seed": request.seed,
        }
    )


def from_wire(body: Any) -> GenerationResult:
    """The normal form of a completion; WireError when it is none."""
    try:
        choice = body["choices"][0]
        return GenerationResult(
            content="" + choice["text"],
            finish_reason=FINISH_REASONS[choice["finish_reason"]],
            model=str(body.get("model") or ""),
            usage=usage_from_wire(body.get("usage"), service_tier=body.get("service_tier")),
        )
    except MALFORMED as error:
        complaint = f"the reply is not a completion ({type(error).__name__}: {error})"
        raise WireError(complaint) from None


class CompletionAssembler:
    """Puts the chunks of one completion together to the body of one that comes whole."""

    def __init__(self) -> None:
        self._text: list[str] = []
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
            self._body |= {name: chunk[name] for name in OF_THE_WHOLE if chunk.get(name)}
            pieces = []
            for choice in chunk.get("choices") or ():
                pieces.append("" + (choice.get("text") or ""))
                self._finish_reason = choice.get("finish_reason") or self._finish_reason
        except MALFORMED as error:
            complaint = f"the stream has what is no chunk ({type(error).__name__}: {error})"
            raise WireError(complaint) from None
        self._text += pieces
        return [Delta(text=piece) for piece in pieces if piece]

    def result(self) -> GenerationResult:
        """The whole completion. Raises WireError if it is none."""
        choice = {"text": "".join(self._text), "finish_reason": self._finish_reason}
        return from_wire({**self._body, "choices": [choice]})
