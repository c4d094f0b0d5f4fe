"""Anthropic's messages in pieces: what each event tells, and the whole that they make."""

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.conversation import OpaquePart, TextPart, ToolCall
from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, FinishReason, GenerationResult, Usage
from tests.adapters.anthropic_messages import (
    CALL,
    START,
    STOP,
    TALK,
    THINKING,
    closes,
    error,
    grows,
    opens,
)
from worker.adapters.anthropic_stream import MessageAssembler
from worker.adapters.base import CallError, WireError

OPENING = {**CALL, "input": {}}
TURN: list[dict[str, Any]] = [
    START,
    opens(0, {"type": "thinking", "thinking": "", "signature": ""}),
    grows(0, thinking="Tea, "),
    grows(0, thinking="then."),
    grows(0, signature="c2lnbmF0dXJl"),
    opens(1, {"type": "redacted_thinking", "data": "eA=="}),
    opens(2, {"type": "text", "text": ""}),
    grows(2, text="Look:"),
    opens(3, OPENING),
    grows(3, partial_json=""),
    grows(3, partial_json='{"city": '),
    grows(3, partial_json='"Bern"}'),
    opens(4, {**OPENING, "id": "toolu_2", "name": "now"}),
    grows(4, partial_json=""),
    opens(5, {**OPENING, "id": "toolu_3", "name": "now"}),
    closes("tool_use", output_tokens_details={"thinking_tokens": 35}),
    STOP,
]


def heard(*events: dict[str, Any]) -> tuple[list[Delta], MessageAssembler]:
    """What is told of a stream, and who has heard it."""
    assembler = MessageAssembler()
    return [delta for event in events for delta in assembler.eat(event)], assembler


def result(*events: dict[str, Any]) -> GenerationResult:
    return heard(*events)[1].result()


def test_pieces_are_told_in_order_and_make_the_whole() -> None:
    deltas, assembler = heard(*TURN)
    assert deltas == [
        Delta(reasoning="Tea, "),
        Delta(reasoning="then."),
        Delta(text="Look:"),
        Delta(tool_call=0, tool_call_id="toolu_1", tool_name="weather"),
        Delta(tool_call=0, arguments='{"city": '),
        Delta(tool_call=0, arguments='"Bern"}'),
        Delta(tool_call=1, tool_call_id="toolu_2", tool_name="now"),
        Delta(tool_call=2, tool_call_id="toolu_3", tool_name="now"),
    ]
    assert assembler.ended
    assert assembler.result() == GenerationResult(
        content="Look:",
        parts=(
            OpaquePart(wire="anthropic", data=THINKING),
            OpaquePart(wire="anthropic", data={"type": "redacted_thinking", "data": "eA=="}),
            TextPart(text="Look:"),
        ),
        tool_calls=(
            ToolCall(id="toolu_1", name="weather", arguments='{"city": "Bern"}'),
            ToolCall(id="toolu_2", name="now", arguments="{}"),
            ToolCall(id="toolu_3", name="now", arguments="{}"),
        ),
        finish_reason=FinishReason.TOOL_CALLS,
        model="claude-sonnet-5-5-20260801",
        usage=Usage(
            input_tokens=2130,
            cached_tokens=2000,
            cache_write_tokens=20,
            cache_write_1h_tokens=10,
            output_tokens=50,
            reasoning_tokens=35,
            searches=2,
            service_tier="standard",
        ),
    )


@pytest.mark.parametrize("usage", ["many", 7, [1], {"output_tokens": "7"}])
def test_a_usage_that_no_bill_can_hold_loses_no_answer(usage: Any) -> None:
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    answer = result(START, ended, STOP)
    assert answer.usage is None


def test_the_last_word_on_usage_wins_where_it_says_something() -> None:
    last = closes(
        "end_turn",
        input_tokens=300,
        cache_read_input_tokens=None,
        server_tool_use={"web_search_requests": 3},
    )
    usage = result(START, last, STOP).usage
    assert usage is not None
    assert (usage.input_tokens, usage.cached_tokens, usage.searches) == (2330, 2000, 3)


def test_a_search_and_what_it_found_are_kept_and_cited() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    deltas, assembler = heard(
        START,
        opens(0, search),
        grows(0, partial_json='{"query": "tea"}'),
        opens(1, found),
        opens(2, {"type": "text", "text": "", "citations": []}),
        grows(2, citation={"type": "web_search_result_location", "url": "https://a.example"}),
        grows(2, text="Tea."),
        closes("end_turn"),
        STOP,
    )
    answer = assembler.result()
    assert deltas == [Delta(text="Tea.")]
    assert answer.citations == ("https://a.example",)
    assert answer.parts == (
        OpaquePart(wire="anthropic", data={**search, "input": {"query": "tea"}}),
        OpaquePart(wire="anthropic", data=found),
        TextPart(text="Tea."),
    )


def test_a_refusal_is_told_and_said() -> None:
    last = closes("refusal")
    last["delta"]["stop_details"] = {"category": "cyber", "explanation": "Not this."}
    deltas, assembler = heard(START, last, STOP)
    assert deltas == [Delta(refusal="Not this.")]
    answer = assembler.result()
    assert (answer.refusal, answer.finish_reason) == ("Not this.", FinishReason.REFUSAL)


def test_arguments_that_were_cut_stay_as_they_were_written() -> None:
    answer = result(
        START, opens(0, OPENING), grows(0, partial_json='{"city": "Be'), closes("max_tokens"), STOP
    )
    assert answer.tool_calls[0].arguments == '{"city": "Be'
    assert answer.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", FailureKind.OVERLOADED),
        ("rate_limit_error", FailureKind.RATE_LIMITED),
        ("api_error", FailureKind.SERVER),
        ("timeout_error", FailureKind.SERVER),
    ],
)
def test_an_error_amid_the_stream_is_a_failure(kind: str, expected: FailureKind) -> None:
    with pytest.raises(CallError, match="the stream broke off: busy") as caught:
        heard(*TALK[:4], error(kind, "busy"))
    assert caught.value.kind is expected


@pytest.mark.parametrize("length", range(len(TURN)))
def test_without_its_last_event_there_is_no_answer(length: int) -> None:
    _, assembler = heard(*TURN[:length])
    assert not assembler.ended
    with pytest.raises(WireError, match="without message_stop"):
        assembler.result()


def test_events_of_later_versions_are_passed_by() -> None:
    unknown = {"type": "content_block_sparkle", "index": 0}
    news = grows(0, sparkle="!")
    assert result(*TALK[:2], unknown, news, *TALK[2:]).content == "Fine."


@given(
    at=st.integers(0, len(TURN) - 1),
    path=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    junk=st.none() | st.integers() | st.text() | st.just([]) | st.just({}),
)
def test_any_damage_is_refused_and_breaks_nothing(at: int, path: list[int], junk: Any) -> None:
    events: list[Any] = copy.deepcopy(TURN)
    place: Any = events
    key: Any = at
    for step in path:
        below: Any = place[key]
        if not isinstance(below, dict) or not below:
            break
        place, key = below, sorted(below)[step % len(below)]
    place[key] = junk
    with suppress(WireError, CallError):
        deltas, assembler = heard(*events)
        assert all(isinstance(delta.text, str) for delta in deltas)
        assert isinstance(assembler.result().content, str)
