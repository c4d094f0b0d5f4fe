"""Answers in Anthropic's words are what its real SDK reads, whole and in pieces."""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from pydantic import TypeAdapter

from shared.domain.conversation import Message as Turn
from shared.domain.conversation import OpaquePart, TextPart
from shared.domain.generation import GenerationRequest
from shared.faces.anthropic_reply import message_of
from shared.faces.anthropic_request import read_message
from shared.faces.anthropic_stream import MessageStream

REQUEST = TypeAdapter(GenerationRequest)
USAGE = {
    "input_tokens": 100,
    "cached_tokens": 30,
    "cache_write_tokens": 20,
    "cache_write_1h_tokens": 10,
    "output_tokens": 7,
    "reasoning_tokens": 3,
}


def result(**changes: Any) -> dict[str, Any]:
    return {"content": "", "finish_reason": "stop", "model": "m-1", "usage": USAGE, **changes}


def streamed(pieces: list[dict[str, Any]], whole: dict[str, Any]) -> Message:
    """The message that the real SDK adds up from a stream of these pieces."""
    stream = MessageStream("job_1", "m")
    events = [event for piece in pieces for event in stream.of(piece)]
    body = b"".join([*events, *stream.rest(whole)])
    reply = httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})
    transport = httpx2.MockTransport(lambda _: reply)
    client = anthropic.Anthropic(
        api_key="none", base_url="http://mill.test", http_client=httpx2.Client(transport=transport)
    )
    with client.messages.stream(model="m", max_tokens=9, messages=[]) as told:
        return told.get_final_message()


def sent_back(content: list[Any]) -> Turn:
    """The turn that this content becomes in the next request."""
    body = {"model": "m", "messages": [{"role": "assistant", "content": content}]}
    [turn] = REQUEST.validate_python(read_message(body).request).messages
    return turn


def test_an_answer_is_a_message_that_the_sdk_reads() -> None:
    calls = [{"id": "c1", "name": "weather", "arguments": '{"city": "Ulm"}'}]
    told = Message.model_validate(
        message_of("job_1", result(content="I ask.", tool_calls=calls, finish_reason="tool_calls")),
        strict=True,
    )
    text, call = told.content
    assert (told.id, told.model, told.stop_reason) == ("msg_1", "m-1", "tool_use")
    assert text.type == "text"
    assert text.text == "I ask."
    assert call.type == "tool_use"
    assert (call.id, call.name, call.input) == ("c1", "weather", {"city": "Ulm"})
    usage = told.usage
    assert (usage.input_tokens, usage.output_tokens) == (40, 7)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (30, 30)
    assert usage.output_tokens_details
    assert usage.output_tokens_details.thinking_tokens == 3


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")],
)
def test_why_it_stopped_is_told_in_anthropics_words(reason: str, stop: str) -> None:
    assert message_of("job_1", result(finish_reason=reason, usage=None))["stop_reason"] == stop


def test_a_refusal_says_why_beside_the_content() -> None:
    body = message_of("job_1", result(finish_reason="refusal", refusal="No."))
    told = Message.model_validate(body, strict=True)
    assert (told.stop_reason, told.content) == ("refusal", [])
    assert told.stop_details
    assert told.stop_details.explanation == "No."


def test_thought_of_anthropics_own_is_shown_and_comes_back_untouched() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    parts = [
        {"type": "opaque", "wire": "anthropic", "data": thought},
        {"type": "text", "text": "Well."},
    ]
    body = message_of("job_1", result(content="Well.", parts=parts, citations=["https://a.test/"]))
    told = Message.model_validate(body, strict=True)
    assert [block.type for block in told.content] == ["thinking", "text"]
    assert told.content[1].citations[0].url == "https://a.test/"  # type: ignore[union-attr, index]
    again = sent_back(body["content"])
    assert again.parts == (OpaquePart(wire="anthropic", data=thought), TextPart(text="Well."))


def test_what_another_wire_needs_back_goes_through_the_callers_hands() -> None:
    signed = {"thoughtSignature": "abc"}
    parts = [
        {"type": "text", "text": "One."},
        {"type": "opaque", "wire": "gemini", "data": signed},
        {"type": "text", "text": " Two."},
    ]
    calls = [{"id": "c1", "name": "weather", "arguments": "{}", "signature": "call-sig"}]
    whole = result(content="One. Two.", parts=parts, tool_calls=calls, finish_reason="tool_calls")
    body = message_of("job_1", whole)
    assert [block["type"] for block in body["content"]] == ["text", "tool_use", "redacted_thinking"]
    Message.model_validate(body, strict=True)
    again = sent_back(body["content"])
    assert again.parts == (
        TextPart(text="One."),
        OpaquePart(wire="gemini", data=signed),
        TextPart(text=" Two."),
    )
    assert again.tool_calls[0].signature == "call-sig"
    body["content"][0]["text"] = "Other."
    changed = sent_back(body["content"])
    assert changed.parts == (OpaquePart(wire="gemini", data=signed), TextPart(text="Other."))


PIECES: list[dict[str, Any]] = [
    {"reasoning": "H"},
    {"reasoning": "m."},
    {"text": "I "},
    {"text": "ask."},
    {"tool_call": 0, "tool_call_id": "c1", "tool_name": "weather"},
    {"tool_call": 0, "arguments": '{"city"'},
    {"tool_call": 0, "arguments": ': "Ulm"}'},
    {"tool_call": 1, "tool_call_id": "c2", "tool_name": "weather", "arguments": "{}"},
]
CALLS = [
    {"id": "c1", "name": "weather", "arguments": '{"city": "Ulm"}'},
    {"id": "c2", "name": "weather", "arguments": "{}"},
]


def test_a_stream_adds_up_to_the_message() -> None:
    whole = result(content="I ask.", tool_calls=CALLS, finish_reason="tool_calls")
    told = streamed(PIECES, whole)
    plain = Message.model_validate(message_of("job_1", whole))
    thought, *rest = told.content
    assert thought.type == "thinking"
    assert thought.thinking == "Hm."
    assert [block.model_dump() for block in rest] == [b.model_dump() for b in plain.content]
    assert (told.id, told.stop_reason) == (plain.id, plain.stop_reason)
    assert told.usage.output_tokens == plain.usage.output_tokens
    assert told.usage.input_tokens == plain.usage.input_tokens


def test_what_no_piece_has_told_is_told_at_the_end() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    parts = [
        {"type": "opaque", "wire": "anthropic", "data": thought},
        {"type": "text", "text": "Well."},
    ]
    whole = result(content="Well.", parts=parts, citations=["https://a.test/"])
    later = streamed([{"reasoning": "Hm."}, {"text": "Well."}], whole)
    assert [block.type for block in later.content] == ["thinking", "text", "redacted_thinking"]
    assert later.content[1].citations  # type: ignore[union-attr]
    back = [block.model_dump(mode="json") for block in later.content]
    again = sent_back(back)
    assert again.parts == (OpaquePart(wire="anthropic", data=thought), TextPart(text="Well."))
    at_once = streamed([], whole)
    plain = Message.model_validate(message_of("job_1", whole))
    assert [b.model_dump() for b in at_once.content] == [b.model_dump() for b in plain.content]


def test_every_event_has_a_name_and_blocks_follow_one_another() -> None:
    stream = MessageStream("job_1", "m")
    events = [event for piece in PIECES for event in stream.of(piece)]
    events += stream.rest(result(content="I ask.", tool_calls=CALLS, finish_reason="tool_calls"))
    lines = [event.decode().split("\n") for event in events]
    names = [line[0].removeprefix("event: ") for line in lines]
    bodies = [json.loads(line[1].removeprefix("data: ")) for line in lines]
    assert names == [body["type"] for body in bodies]
    assert (names[0], names[-2:]) == ("message_start", ["message_delta", "message_stop"])
    blocks = [
        (body["type"].removeprefix("content_block_"), body["index"])
        for body in bodies
        if body["type"] in {"content_block_start", "content_block_stop"}
    ]
    assert blocks == [(step, number) for number in range(4) for step in ("start", "stop")]
