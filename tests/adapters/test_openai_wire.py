"""OpenAI's dialect as tables: what goes out, what comes in, what an error means."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.conversation import Message, Role
from shared.domain.failure import FailureKind
from shared.domain.generation import FinishReason, GenerationRequest, Usage
from tests.adapters.canned import COMPLETION
from worker.adapters.base import WireError
from worker.adapters.counts import MOST
from worker.adapters.openai_errors import KIND_OF_CODE, classify
from worker.adapters.openai_usage import usage_from_wire
from worker.adapters.openai_wire import from_wire, to_wire
from worker.adapters.refusals import KIND_OF_STATUS, MAX_RETRY_AFTER, retry_after

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
SHARDS: list[Callable[[Any], dict[str, Any]]] = [
    lambda junk: {**COMPLETION, "choices": junk},
    lambda junk: {**COMPLETION, "choices": [junk]},
    lambda junk: {**COMPLETION, "choices": [{"message": junk, "finish_reason": "stop"}]},
    lambda junk: {**COMPLETION, "choices": [{"message": {}, "finish_reason": junk}]},
    lambda junk: {**COMPLETION, "usage": junk},
    lambda junk: {**COMPLETION, "usage": {"prompt_tokens": junk, "completion_tokens": 1}},
    lambda junk: {**COMPLETION, "usage": {**COMPLETION["usage"], "prompt_tokens_details": junk}},
]


def test_absent_parameters_stay_absent() -> None:
    request = GenerationRequest(model="ours", messages=(Message(role=Role.USER, content="?"),))
    assert to_wire(request, "theirs") == {
        "model": "theirs",
        "messages": [{"role": "user", "content": "?"}],
    }


def test_every_parameter_arrives_zeros_too() -> None:
    request = GenerationRequest(
        model="m",
        messages=(
            Message(role=Role.SYSTEM, content="Be kind."),
            Message(role=Role.ASSISTANT, content=""),
        ),
        max_tokens=1,
        temperature=0.0,
        top_p=0.0,
        presence_penalty=-2.0,
        frequency_penalty=0.0,
        stop=("a", "b"),
        seed=0,
    )
    assert to_wire(request, "m") == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "assistant", "content": ""},
        ],
        "max_completion_tokens": 1,
        "temperature": 0.0,
        "top_p": 0.0,
        "presence_penalty": -2.0,
        "frequency_penalty": 0.0,
        "stop": ["a", "b"],
        "seed": 0,
    }


def test_a_completion_becomes_the_normal_form() -> None:
    result = from_wire(COMPLETION)
    assert (result.content, result.refusal) == ("Fine.", None)
    assert result.finish_reason is FinishReason.STOP
    assert result.model == "gpt-4.1-mini-2025-04-14"
    assert result.usage == Usage(
        input_tokens=9, cached_tokens=4, output_tokens=7, reasoning_tokens=3
    )


@pytest.mark.parametrize("usage", [None, {}])
def test_no_usage_is_none_and_not_zero(usage: Any) -> None:
    assert usage_from_wire(usage) is None
    assert from_wire({**COMPLETION, "usage": usage}).usage is None


@pytest.mark.parametrize("details", [None, {}, {"cached_tokens": None}])
def test_details_of_usage_may_be_missing(details: Any) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": details}
    assert usage_from_wire(usage) == Usage(input_tokens=3, output_tokens=2)


@given(junk=JSON, shard=st.sampled_from(SHARDS))
def test_any_reply_is_read_or_refused_and_breaks_nothing(
    junk: Any, shard: Callable[[Any], dict[str, Any]]
) -> None:
    for body in (junk, shard(junk)):
        with suppress(WireError):
            result = from_wire(body)
            assert isinstance(result.content, str)
            assert result.usage is None or 0 <= result.usage.input_tokens <= MOST


@pytest.mark.parametrize(("status", "kind"), KIND_OF_STATUS.items())
def test_a_status_alone_has_its_kind(status: int, kind: FailureKind) -> None:
    errors: tuple[Any, ...] = (None, "", {}, [], {"message": None, "code": None, "type": None})
    for silent in errors:
        assert classify(status, silent) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (418, FailureKind.BAD_REQUEST),
        (409, FailureKind.BAD_REQUEST),
        (500, FailureKind.SERVER),
        (502, FailureKind.SERVER),
        (504, FailureKind.SERVER),
        (530, FailureKind.SERVER),
    ],
)
def test_an_unlisted_status_goes_with_its_class(status: int, kind: FailureKind) -> None:
    assert classify(status, None) is kind


@pytest.mark.parametrize(("word", "kind"), KIND_OF_CODE.items())
def test_a_code_or_a_type_wins_over_the_status(word: str, kind: FailureKind) -> None:
    for status in (400, 429, 500):
        assert classify(status, {"code": word}) is kind
        assert classify(status, {"type": word, "code": "unheard_of"}) is kind


def test_a_code_wins_over_a_type() -> None:
    error = {"type": "insufficient_quota", "code": "rate_limit_exceeded"}
    assert classify(429, error) is FailureKind.RATE_LIMITED


@pytest.mark.parametrize(
    "error",
    [
        {"message": "This model's Maximum Context Length is 8192 tokens.", "code": 400},
        "the prompt exceeds the maximum context length",
    ],
)
def test_a_context_that_is_too_long_is_understood_in_prose(error: Any) -> None:
    assert classify(400, error) is FailureKind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sun, 01 Mar 2026 12:01:00 GMT"}, 60.0),
        ({"retry-after": "Sun, 01 Mar 2026 13:01:00 +0100"}, 60.0),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "99999999999"}, MAX_RETRY_AFTER),
        ({"retry-after-ms": "1e300"}, MAX_RETRY_AFTER),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "Sun, 01 Mar 2026 12:01:00 -0000"}, 60.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
    ],
)
def test_a_wait_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx2.Headers(headers), NOON) == seconds


@pytest.mark.parametrize(
    "count", [-1, 10**12, 10**400, 1e300, 0.5, float("inf"), "7", True, [], None]
)
def test_a_count_that_no_bill_can_hold_loses_no_answer(count: Any) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {}}
    for name in ("prompt_tokens", "completion_tokens"):
        result = from_wire({**COMPLETION, "usage": {**usage, name: count}})
        assert (result.content, result.usage) == (from_wire(COMPLETION).content, None)


@given(text=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])))
def test_a_senseless_wait_is_no_error(text: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after({name: text}, NOON)
        assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
