"""OpenAI's embeddings: texts become vectors."""

import struct
from base64 import b64decode
from typing import Any, Final

from shared.domain.generation import FinishReason, GenerationRequest, GenerationResult
from worker.adapters.base import WireError
from worker.adapters.bodies import present
from worker.adapters.counts import finite
from worker.adapters.openai_usage import MALFORMED, usage_from_wire

FLOAT_BYTES: Final = 4


def to_wire(request: GenerationRequest, model: str) -> dict[str, Any]:
    """The body of POST /embeddings; base64 is a third of the bytes that digits take."""
    texts = request.input
    return present(
        {
            "model": model,
            "input": list(texts) if isinstance(texts, tuple) else texts,
            "dimensions": request.dimensions,
            "encoding_format": "base64",
        }
    )


def from_wire(body: Any, inputs: int) -> GenerationResult:
    """The vectors of so many inputs, in their order; WireError when one is missing."""
    try:
        entries = sorted(body["data"], key=lambda entry: entry["index"])
        if [entry["index"] for entry in entries] != list(range(inputs)):
            raise ValueError(f"{len(entries)} vectors for {inputs} inputs")
        return GenerationResult(
            embeddings=tuple(_vector(entry["embedding"]) for entry in entries),
            finish_reason=FinishReason.STOP,
            model=str(body.get("model") or ""),
            usage=usage_from_wire(body.get("usage"), silent=True),
        )
    except (*MALFORMED, struct.error) as error:
        complaint = f"the reply is not an embedding ({type(error).__name__}: {error})"
        raise WireError(complaint) from None


def inputs_of(request: GenerationRequest) -> int:
    """How many texts are to become vectors."""
    return len(request.input) if isinstance(request.input, tuple) else 1


def _vector(embedding: Any) -> tuple[float, ...]:
    """Of base64 over float32 in little-endian order, or of plain numbers."""
    if isinstance(embedding, str):
        packed = b64decode(embedding, validate=True)
        vector = struct.unpack(f"<{len(packed) // FLOAT_BYTES}f", packed)
    else:
        vector = tuple(map(float, embedding))
    return finite(vector)
