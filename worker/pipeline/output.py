"""Answers in JSON are held to the schema that was asked for."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

import jsonschema_rs
import orjson

from shared.domain.conversation import Message, Role
from shared.domain.failure import CORRECTION_TOKENS, FailureKind
from shared.domain.generation import FinishReason, GenerationRequest
from worker.adapters.base import Answer, CallError

LONGEST_ERROR: Final = 500
LONGEST_CORRECTION: Final = CORRECTION_TOKENS[FailureKind.INVALID_OUTPUT] - 100
"""Bytes of an error that the model is told; what is said around it is less than the rest."""


def check_output(request: GenerationRequest, answer: Answer) -> None:
    """Raises CallError for a whole answer that is not of the schema that was asked for.

    One that was cut, filtered or refused says so by its finish reason.
    """
    asked, result = request.response_schema, answer.result
    if asked is None or result.finish_reason is not FinishReason.STOP:
        return
    if wrong := _first_wrong(result.content, asked.schema):
        failure = CallError(
            FailureKind.INVALID_OUTPUT,
            f"the answer is not of the schema {asked.name!r}: {wrong}"[:LONGEST_ERROR],
            provider_request_id=answer.provider_request_id,
            usage=result.usage,
        )
        failure.perhaps_billed = True
        raise failure


def corrected(request: GenerationRequest, last_error: str) -> GenerationRequest:
    """The same request once more, told what was wrong with the answer before.

    Longer by CORRECTION_TOKENS at most: no token stands for less than a byte.
    """
    told = last_error.encode()[:LONGEST_CORRECTION].decode(errors="ignore")
    words = f"Your last answer was refused: {told}. Answer again, with such JSON alone."
    return replace(request, messages=(*request.messages, Message(role=Role.USER, content=words)))


def _first_wrong(content: str, schema: dict[str, object]) -> str | None:
    """What is wrong first, and where; None when nothing is."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return f"it is not JSON ({error})"
    for wrong in _validator(orjson.dumps(schema)).iter_errors(value):
        place = "".join(f"[{part!r}]" for part in wrong.instance_path)
        return f"{place or 'the whole'}: {wrong.message}"
    return None


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    # Never online: a `$ref` to the network would make this process call whom the caller names.
    try:
        return jsonschema_rs.validator_for(orjson.loads(schema), offline=True)
    except ValueError as error:
        message = f"the response schema cannot be used: {error}"
        raise CallError(FailureKind.BAD_REQUEST, message[:LONGEST_ERROR]) from None
