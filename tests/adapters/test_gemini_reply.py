"""Gemini's dialect inward: whole replies, and what they are billed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.conversation import FilePart, ImagePart, OpaquePart, TextPart, ToolCall
from shared.domain.failure import FailureKind
from shared.domain.generation import (
    FinishReason,
    GenerationResult,
    Usage,
    message_of,
)
from tests.adapters.gemini_replies import CALL, REPLY, reply
from worker.adapters.base import CallError, WireError
from worker.adapters.gemini_reply import embeddings_from_wire, from_wire, usage_from_wire
from worker.adapters.gemini_turns import contents_of

MODEL = "gemini-3.8-flash"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
USAGE = Usage(input_tokens=9, output_tokens=7, reasoning_tokens=3)


def refused(body: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        from_wire(body, MODEL)
    return caught.value


def test_a_reply_becomes_the_normal_form() -> None:
    assert from_wire(REPLY, MODEL) == GenerationResult(
        content="Fine.",
        finish_reason=FinishReason.STOP,
        model="gemini-3.8-flash-001",
        usage=USAGE,
    )
    assert from_wire({**REPLY, "modelVersion": None}, MODEL).model == MODEL


def test_several_texts_are_one_content() -> None:
    result = from_wire(reply({"text": "Fi"}, {"text": ""}, {"text": "ne."}), MODEL)
    assert (result.content, result.parts) == ("Fine.", ())


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("STOP", FinishReason.STOP),
        ("stop", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("CONTINUATION", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("LANGUAGE", FinishReason.CONTENT_FILTER),
        ("BLOCKLIST", FinishReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("SPII", FinishReason.CONTENT_FILTER),
        ("IMAGE_SAFETY", FinishReason.CONTENT_FILTER),
        ("IMAGE_PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("IMAGE_RECITATION", FinishReason.CONTENT_FILTER),
        ("IMAGE_OTHER", FinishReason.CONTENT_FILTER),
        ("MODEL_ARMOR", FinishReason.CONTENT_FILTER),
        ("ESCALATION", FinishReason.CONTENT_FILTER),
    ],
)
def test_each_end_has_our_word(word: str, finish: FinishReason) -> None:
    assert from_wire(reply({"text": "a"}, finishReason=word), MODEL).finish_reason is finish


def test_an_answer_may_end_before_its_first_word() -> None:
    body = {**REPLY, "candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]}
    result = from_wire(body, MODEL)
    assert (result.content, result.finish_reason) == ("", FinishReason.LENGTH)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", FailureKind.BAD_RESPONSE),
        ("MALFORMED_RESPONSE", FailureKind.BAD_RESPONSE),
        ("UNEXPECTED_TOOL_CALL", FailureKind.BAD_RESPONSE),
        ("TOO_MANY_TOOL_CALLS", FailureKind.BAD_RESPONSE),
        ("NO_IMAGE", FailureKind.BAD_RESPONSE),
        ("OTHER", FailureKind.BAD_RESPONSE),
        ("FINISH_REASON_UNSPECIFIED", FailureKind.BAD_RESPONSE),
        ("UNHEARD_OF", FailureKind.BAD_RESPONSE),
        ("STOP", FailureKind.BAD_RESPONSE),
        ("MISSING_THOUGHT_SIGNATURE", FailureKind.BAD_REQUEST),
        ("PUP_LIMITED_DISABLED", FailureKind.AUTH),
    ],
)
def test_an_end_without_an_answer_is_a_failure_that_was_billed(
    word: str, kind: FailureKind
) -> None:
    failed = refused(reply(finishReason=word, finishMessage="odd"))
    assert (failed.kind, failed.usage) == (kind, USAGE)
    assert word in failed.message
    assert "odd" in failed.message


def test_a_blocked_prompt_is_a_failure_that_was_billed() -> None:
    feedback = {"blockReason": "JAILBREAK", "blockReasonMessage": "no"}
    body = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 9}}
    failed = refused(body)
    assert failed.kind is FailureKind.CONTENT_FILTERED
    assert failed.message == "Gemini blocked the prompt (JAILBREAK): no"
    assert failed.usage == Usage(input_tokens=9)


def test_calls_get_ids_that_are_new_in_their_conversation() -> None:
    named = {"functionCall": {"id": "fc_9", "name": "stop"}, "thoughtSignature": "c2ln"}
    result = from_wire(reply({"text": "So:"}, CALL, named, CALL), MODEL, calls_before=5)
    assert result.finish_reason is FinishReason.TOOL_CALLS
    assert result.content == "So:"
    assert result.tool_calls == (
        ToolCall(id="call_5", name="get_time", arguments='{"city":"Oslo"}'),
        ToolCall(id="fc_9", name="stop", arguments="{}", signature="c2ln"),
        ToolCall(id="call_7", name="get_time", arguments='{"city":"Oslo"}'),
    )


@pytest.mark.parametrize(
    "raw",
    [
        [{"text": "Hm.", "thought": True}, {"text": "Fine.", "thoughtSignature": "c2ln"}],
        [{"text": "Fine."}, {"text": "", "thoughtSignature": "c2ln"}],
        [{"executableCode": {"code": "1"}}, {"text": "Fine."}, {**CALL, "thoughtSignature": "c"}],
        [{"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "c2ln"}],
    ],
)
def test_an_answer_goes_back_as_it_came(raw: list[dict[str, Any]]) -> None:
    [turn] = contents_of([message_of(from_wire(reply(*raw), MODEL))], MODEL)
    assert turn == {"role": "model", "parts": raw}


def test_thought_and_code_are_no_content_and_media_is_a_part() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    sound = {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}
    thought = {"text": "Hm.", "thought": True}
    result = from_wire(reply(thought, {"text": "Fine."}, image, sound), MODEL)
    assert result.content == "Fine."
    assert result.parts == (
        OpaquePart(wire="gemini", data=thought),
        TextPart(text="Fine."),
        ImagePart(url="data:image/png;base64,AA=="),
        FilePart(url="data:audio/wav;base64,AA=="),
    )


def test_searches_are_counted_and_their_sources_cited_once() -> None:
    grounding = {
        "webSearchQueries": ["tea", "", "tea history", "tea"],
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "A"}},
            {"web": {"uri": "https://a.example", "title": "A again"}},
            {"retrievedContext": {"uri": "gs://b"}},
            {"web": {"title": "nowhere"}},
        ],
    }
    result = from_wire(reply({"text": "Tea."}, groundingMetadata=grounding), MODEL)
    assert result.citations == ("https://a.example",)
    assert result.usage is not None
    assert result.usage.searches == 2


def test_usage_is_as_billed() -> None:
    usage = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 20,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 12,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 60},
            {"modality": "AUDIO", "tokenCount": 40},
        ],
        "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
        "candidatesTokensDetails": [{"modality": "audio", "tokenCount": 5}],
        "trafficType": "ON_DEMAND_FLEX",
    }
    assert usage_from_wire({"usageMetadata": usage}) == Usage(
        input_tokens=120,
        cached_tokens=60,
        output_tokens=42,
        reasoning_tokens=12,
        audio_input_tokens=42,
        audio_output_tokens=5,
        service_tier="ON_DEMAND_FLEX",
    )
    assert usage_from_wire({}) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"promptTokenCount": -1}, {"promptTokenCount": "7"}, {"candidatesTokenCount": 7}, "many",
        {"promptTokenCount": 1, "thoughtsTokenCount": 10**12},
        {"promptTokenCount": 1, "promptTokensDetails": [7]},
    ],
)  # fmt: skip
def test_a_usage_that_no_bill_can_hold_loses_no_answer(usage: Any) -> None:
    result = from_wire({**reply({"text": "Tea."}), "usageMetadata": usage}, MODEL)
    assert (result.content, result.usage) == ("Tea.", None)


def test_each_text_has_its_vector_and_usage_may_be_missing() -> None:
    body = {"embeddings": [{"values": [1, 0.5]}, {"values": [0, 0]}]}
    result = embeddings_from_wire(body, "gemini-embedding-001", 2)
    assert result.embeddings == ((1.0, 0.5), (0.0, 0.0))
    assert (result.usage, result.model) == (None, "gemini-embedding-001")
    told = embeddings_from_wire({**body, "usageMetadata": {"promptTokenCount": 4}}, "m", 2)
    assert told.usage == Usage(input_tokens=4)
    junks: list[Any] = [body, {}, [], {"embeddings": [{"values": ["x"]}]}, {"embeddings": [{}]}]
    for junk in junks:
        with pytest.raises(WireError):
            embeddings_from_wire(junk, "m", 3)
