"""Structured answers: what is not of the schema is a failure that was billed, and is told."""

import pytest

from shared.catalog.load import load_catalog
from shared.catalog.tokens import PER_MESSAGE, count_input
from shared.domain.conversation import Message, Role
from shared.domain.failure import CORRECTION_TOKENS, FailureKind
from shared.domain.generation import (
    FinishReason,
    GenerationRequest,
    GenerationResult,
    ResponseSchema,
    Usage,
)
from worker.adapters.base import Answer, CallError
from worker.pipeline.output import check_output, corrected

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
REQUEST = GenerationRequest(
    model="gpt-4.1-mini",
    messages=(Message(role=Role.USER, content="Berlin?"),),
    response_schema=ResponseSchema(schema=SCHEMA, name="place"),
)
USAGE = Usage(input_tokens=10, output_tokens=5)


def answer(content: str, finish_reason: FinishReason = FinishReason.STOP) -> Answer:
    result = GenerationResult(content=content, finish_reason=finish_reason, model="m", usage=USAGE)
    return Answer(result, "req_1")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is not JSON"),
        ("Berlin has 3.7 million people.", "it is not JSON"),
        ('{"city": "Berlin"', "it is not JSON"),
        ('["Berlin"]', "the whole: "),
        ('{"city": "Berlin"}', "the whole: .*people"),
        ('{"city": "Berlin", "people": "many"}', "people.*integer"),
        ('{"city": "Berlin", "people": 1, "mayor": "?"}', "mayor"),
    ],
)
def test_an_answer_of_another_shape_fails_and_says_where(content: str, why: str) -> None:
    with pytest.raises(CallError, match=why) as failed:
        check_output(REQUEST, answer(content))
    assert failed.value.kind is FailureKind.INVALID_OUTPUT
    assert (failed.value.usage, failed.value.provider_request_id) == (USAGE, "req_1")
    assert "'place'" in failed.value.message


@pytest.mark.parametrize(
    "passed",
    [
        answer('{"city": "Berlin", "people": 3700000}'),
        answer(' {"people": 1, "city": ""} '),
        answer('{"city": "Ber', FinishReason.LENGTH),
        answer("", FinishReason.TOOL_CALLS),
        answer("I would rather not.", FinishReason.REFUSAL),
    ],
)
def test_what_is_of_the_schema_or_says_itself_why_not_stands(passed: Answer) -> None:
    check_output(REQUEST, passed)
    assert passed.result.usage is USAGE


def test_a_schema_is_never_fetched() -> None:
    request = GenerationRequest(
        model="m", response_schema=ResponseSchema(schema={"$ref": "http://127.0.0.1:9/schema.json"})
    )
    with pytest.raises(CallError, match="schema cannot be used") as failed:
        check_output(request, answer("{}"))
    assert failed.value.kind is FailureKind.BAD_REQUEST


def test_the_next_try_is_told_what_was_wrong() -> None:
    again = corrected(REQUEST, "the answer is not of the schema 'place': 'people' is required")
    assert again.messages[:-1] == REQUEST.messages
    assert again.messages[-1].role is Role.USER
    assert "'people' is required" in again.messages[-1].text
    assert again.response_schema is REQUEST.response_schema


@pytest.mark.parametrize("error", ["", "x" * 500, "\u0b95" * 500, "\U0001f9e0" * 500])
def test_no_correction_is_longer_than_was_reserved_for_it(error: str) -> None:
    mini, reserved = load_catalog().models["gpt-4.1-mini"], CORRECTION_TOKENS["invalid_output"]
    again = corrected(REQUEST, error)
    assert 0 < count_input(again, mini) - count_input(REQUEST, mini) <= reserved
    # Whatever the vocabulary: no token is less than a byte.
    assert len(again.messages[-1].text.encode()) + PER_MESSAGE <= reserved
