"""Anthropic's messages as tables, inwards: what an answer is, and what is none."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.conversation import Message, OpaquePart, Role, TextPart, ToolCall
from shared.domain.failure import FailureKind
from shared.domain.generation import (
    FinishReason,
    GenerationRequest,
    GenerationResult,
    Usage,
    message_of,
)
from tests.adapters.anthropic_messages import CALL, MESSAGE, THINKING, USAGE
from worker.adapters.anthropic_reply import from_wire, usage_from_wire
from worker.adapters.anthropic_request import to_wire
from worker.adapters.base import CallError, WireError

SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"q": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
SHARDS: list[Callable[[Any], dict[str, Any]]] = [
    lambda junk: {**MESSAGE, "content": junk},
    lambda junk: {**MESSAGE, "content": [junk]},
    lambda junk: {**MESSAGE, "content": [{"type": "text", "text": junk}]},
    lambda junk: {**MESSAGE, "content": [{"type": "text", "text": "", "citations": junk}]},
    lambda junk: {**MESSAGE, "content": [{**CALL, "input": junk}]},
    lambda junk: {**MESSAGE, "content": [{**CALL, "id": junk}]},
    lambda junk: {**MESSAGE, "content": [{"type": junk}]},
    lambda junk: {**MESSAGE, "stop_reason": junk},
    lambda junk: {**MESSAGE, "stop_reason": "refusal", "stop_details": junk},
    lambda junk: {**MESSAGE, "model": junk},
    lambda junk: {**MESSAGE, "usage": junk},
    lambda junk: {**MESSAGE, "usage": {**USAGE, "input_tokens": junk}},
    lambda junk: {**MESSAGE, "usage": {**USAGE, "cache_creation": junk}},
]


def result(*content: dict[str, Any], **other: Any) -> GenerationResult:
    """The normal form of a message with this content."""
    return from_wire({**MESSAGE, "content": list(content), **other})


def test_a_message_becomes_the_normal_form() -> None:
    assert from_wire(MESSAGE) == GenerationResult(
        content="Fine.",
        finish_reason=FinishReason.STOP,
        model="claude-sonnet-5-5-20260801",
        usage=Usage(input_tokens=9, output_tokens=7),
    )


def test_the_input_is_all_that_was_read_and_written() -> None:
    assert usage_from_wire(USAGE) == Usage(
        input_tokens=100 + 2000 + 30,
        cached_tokens=2000,
        cache_write_tokens=20,
        cache_write_1h_tokens=10,
        output_tokens=50,
        reasoning_tokens=35,
        searches=2,
        service_tier="standard",
    )


def test_a_cache_of_unknown_age_is_one_of_minutes() -> None:
    usage = usage_from_wire({**USAGE, "cache_creation": None})
    assert usage is not None
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (30, 0)
    grown = usage_from_wire({**USAGE, "cache_creation_input_tokens": 45})
    assert grown is not None
    assert (grown.cache_write_tokens, grown.cache_write_1h_tokens) == (35, 10)


@pytest.mark.parametrize("usage", [None, {}])
def test_no_usage_is_none_and_not_zero(usage: Any) -> None:
    assert from_wire({**MESSAGE, "usage": usage}).usage is None


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("refusal", FinishReason.REFUSAL),
        ("pause_turn", FinishReason.LENGTH),
    ],
)
def test_every_reason_to_stop(stop_reason: str, finish_reason: FinishReason) -> None:
    assert result(stop_reason=stop_reason).finish_reason is finish_reason


def test_a_full_context_window_is_a_failure_with_its_bill() -> None:
    with pytest.raises(CallError) as caught:
        result(stop_reason="model_context_window_exceeded")
    assert caught.value.kind is FailureKind.CONTEXT_LENGTH
    assert caught.value.usage == Usage(input_tokens=9, output_tokens=7)


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"type": "refusal", "category": "bio", "explanation": "Not this."}, "Not this."),
        ({"type": "refusal", "category": "bio", "explanation": None}, "category: bio"),
        (None, "category: None"),
    ],
)
def test_a_refusal_says_why(details: Any, said: str) -> None:
    refused = result(stop_reason="refusal", stop_details=details)
    assert (refused.content, refused.refusal) == ("", said)


def test_calls_of_tools_have_their_arguments_as_text() -> None:
    called = result({"type": "text", "text": "Look:"}, CALL, {**CALL, "id": "toolu_2", "input": {}})
    assert called.content == "Look:"
    assert called.parts == ()
    assert [json.loads(call.arguments) for call in called.tool_calls] == [{"city": "Bern"}, {}]
    assert called.tool_calls[0] == ToolCall(
        id="toolu_1", name="weather", arguments='{"city":"Bern"}'
    )


def test_thought_and_searches_come_back_as_they_are_and_go_again() -> None:
    text = {"type": "text", "text": "Rain."}
    redacted = {"type": "redacted_thinking", "data": "eA=="}
    content: list[dict[str, Any]] = [THINKING, SEARCH, FOUND, text, redacted, CALL]
    answer = result(*content, stop_reason="tool_use")
    assert answer.content == "Rain."
    assert [type(part) for part in answer.parts].count(OpaquePart) == 4
    assert answer.parts[3] == TextPart(text="Rain.")
    asked = Message(role=Role.USER, content="Rain?")
    request = GenerationRequest(model="m", messages=(asked, message_of(answer)))
    assert to_wire(request, "m")["messages"][1]["content"] == content


def test_each_page_that_was_leant_on_is_named_once() -> None:
    cited = [
        {"type": "web_search_result_location", "url": url, "cited_text": "…"}
        for url in ("https://b.example", "https://a.example", "https://b.example")
    ]
    page = {"type": "page_location", "document_index": 0}
    answer = result(
        {"type": "text", "text": "Rain", "citations": cited},
        {"type": "text", "text": ".", "citations": [page]},
        {"type": "text", "text": "", "citations": None},
    )
    assert answer.citations == ("https://b.example", "https://a.example")
    assert answer.content == "Rain."


@given(junk=JSON, shard=st.sampled_from(SHARDS))
def test_any_reply_is_read_or_refused_and_breaks_nothing(
    junk: Any, shard: Callable[[Any], dict[str, Any]]
) -> None:
    for body in (junk, shard(junk)):
        with suppress(WireError):
            answer = from_wire(body)
            assert isinstance(answer.content, str)
            assert answer.refusal is None or isinstance(answer.refusal, str)
            assert answer.usage is None or answer.usage.input_tokens >= 0


@pytest.mark.parametrize("count", [-1, 10**12, 1e300, float("inf"), "7", [1]])
@pytest.mark.parametrize(
    "name", ["input_tokens", "output_tokens", "cache_read_input_tokens", "server_tool_use"]
)
def test_a_count_that_no_bill_can_hold_loses_no_answer(name: str, count: Any) -> None:
    counted = {"web_search_requests": count} if name == "server_tool_use" else count
    answer = from_wire({**MESSAGE, "usage": {**USAGE, name: counted}})
    assert (answer.content, answer.usage) == (from_wire(MESSAGE).content, None)
