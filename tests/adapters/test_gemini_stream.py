"""Gemini's dialect inward: pieces make a whole, and whatever comes is told in our words."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.conversation import OpaquePart, TextPart
from shared.domain.failure import FailureKind
from shared.domain.generation import (
    Delta,
    FinishReason,
    GenerationResult,
    Usage,
    message_of,
)
from tests.adapters.conftest import Noon
from tests.adapters.gemini_replies import CALL, REPLY, error, piece, reply
from worker.adapters.base import CallError, WireError
from worker.adapters.gemini_reply import from_wire
from worker.adapters.gemini_stream import Assembler
from worker.adapters.gemini_turns import contents_of

MODEL = "gemini-3.8-flash"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
USAGE = Usage(input_tokens=9, output_tokens=7, reasoning_tokens=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
SHARDS: list[Callable[[Any], Any]] = [
    lambda junk: junk,
    lambda junk: {**REPLY, "candidates": junk},
    lambda junk: {**REPLY, "candidates": [junk]},
    lambda junk: {"promptFeedback": junk},
    lambda junk: reply(finishReason=junk),
    lambda junk: reply(content=junk),
    lambda junk: reply(content={"parts": junk}),
    lambda junk: reply(content={"parts": [junk]}),
    lambda junk: reply({"functionCall": junk}),
    lambda junk: reply({"inlineData": junk}),
    lambda junk: reply({"text": "a"}, {"text": junk}),
    lambda junk: reply({"text": "a"}, groundingMetadata=junk),
    lambda junk: reply({"text": "a"}, groundingMetadata={"groundingChunks": junk}),
    lambda junk: {**REPLY, "usageMetadata": junk},
    lambda junk: {**REPLY, "usageMetadata": {"promptTokenCount": junk}},
    lambda junk: {**REPLY, "usageMetadata": {"promptTokensDetails": junk, "a": 1}},
]


def assembled(*chunks: Any, calls_before: int = 0) -> tuple[GenerationResult, list[Delta]]:
    """What a stream of these chunks makes, and what it told."""
    assembler = Assembler(MODEL, Noon(), calls_before=calls_before)
    told = [delta for chunk in chunks for delta in assembler.eat(chunk)]
    return assembler.result(), told


def test_pieces_are_told_and_make_the_whole() -> None:
    result, told = assembled(
        piece({"text": "Hm", "thought": True}),
        piece({"text": "m.", "thought": True}),
        piece({"text": "Fi"}),
        {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1}},
        piece({"text": "ne."}, groundingMetadata={"webSearchQueries": ["tea"]}),
        piece(CALL, {**CALL, "thoughtSignature": "c2ln"}),
        {**reply({"text": ""}, groundingMetadata={"webSearchQueries": ["tea", "cup"]})},
        calls_before=2,
    )
    assert told == [
        Delta(reasoning="Hm"),
        Delta(reasoning="m."),
        Delta(text="Fi"),
        Delta(text="ne."),
        Delta(
            tool_call=0, tool_call_id="call_2", tool_name="get_time", arguments='{"city":"Oslo"}'
        ),
        Delta(
            tool_call=1, tool_call_id="call_3", tool_name="get_time", arguments='{"city":"Oslo"}'
        ),
    ]
    assert [call.id for call in result.tool_calls] == ["call_2", "call_3"]
    assert result.tool_calls[1].signature == "c2ln"
    assert result.finish_reason is FinishReason.TOOL_CALLS
    assert result.content == "Fine."
    assert result.parts == (
        OpaquePart(wire="gemini", data={"text": "Hmm.", "thought": True}),
        TextPart(text="Fine."),
    )
    assert result.usage is not None
    assert (result.usage.output_tokens, result.usage.searches) == (7, 2), "the last word wins"


def test_a_signed_piece_stays_apart_from_the_text_around_it() -> None:
    signed = {"text": "", "thoughtSignature": "c2ln"}
    result, _ = assembled(piece({"text": "Fi"}), piece({"text": "ne."}), reply(signed))
    [turn] = contents_of([message_of(result)], MODEL)
    assert turn["parts"] == [{"text": "Fine."}, signed]


def test_a_stream_ends_when_the_provider_says_so() -> None:
    assembler = Assembler(MODEL, Noon())
    assembler.eat(piece({"text": "Fi"}))
    assert not assembler.ended
    with pytest.raises(WireError, match="ended before"):
        assembler.result()
    assembler.eat(reply({"text": "ne."}))
    assert assembler.ended
    assert assembler.response_id == "resp_1"


def test_a_blocked_prompt_ends_a_stream() -> None:
    with pytest.raises(CallError) as blocked:
        assembled({"promptFeedback": {"blockReason": "SAFETY"}}, {"usageMetadata": {}})
    assert blocked.value.kind is FailureKind.CONTENT_FILTERED


def test_an_error_in_a_stream_is_told_in_our_words() -> None:
    assembler = Assembler(MODEL, Noon())
    assembler.eat(piece({"text": "Fi"}))
    with pytest.raises(CallError, match="503: busy") as failed:
        assembler.eat(error(503, "UNAVAILABLE", "busy"))
    assert failed.value.kind is FailureKind.OVERLOADED


def outcome(reads: Callable[[], GenerationResult]) -> GenerationResult | WireError | CallError:
    try:
        return reads()
    except (WireError, CallError) as error:
        return error


@given(shard=st.sampled_from(SHARDS), junk=JSON)
def test_whatever_comes_is_an_answer_or_a_failure_of_ours(
    shard: Callable[[Any], Any], junk: Any
) -> None:
    whole = outcome(lambda: from_wire(shard(junk), MODEL))
    streamed = outcome(lambda: assembled(shard(junk), shard(junk))[0])
    assert None not in {type(whole), type(streamed)}
