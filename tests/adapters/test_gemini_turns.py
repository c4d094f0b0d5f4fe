"""Gemini's dialect of a conversation: turns, media, calls of tools and their results."""

from typing import Any

import pytest

from shared.domain.conversation import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Role,
    TextPart,
    ToolCall,
)
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest
from worker.adapters.base import CallError
from worker.adapters.gemini_turns import NO_SIGNATURE, contents_of
from worker.adapters.gemini_wire import to_wire

MODEL = "gemini-3.8-flash"
OLD = "gemini-2.5-flash"


def user(content: str | Part) -> Message:
    said = content if isinstance(content, str) else (content,)
    return Message(role=Role.USER, content=said)


def chat(*messages: Message, **options: Any) -> GenerationRequest:
    return GenerationRequest(model="ours", messages=messages or (user("?"),), **options)


def calls(*calls: ToolCall) -> Message:
    return Message(role=Role.ASSISTANT, tool_calls=calls)


def result(call_id: str, content: str, *, is_error: bool = False) -> Message:
    return Message(role=Role.TOOL, tool_call_id=call_id, content=content, is_error=is_error)


def call(call_id: str, name: str = "get_time", **options: Any) -> ToolCall:
    return ToolCall(**{"id": call_id, "name": name, "arguments": "{}", **options})


def test_turns_of_one_speaker_are_one_turn() -> None:
    messages = (
        Message(role=Role.SYSTEM, content="A"),
        user("one"),
        user("two"),
        Message(role=Role.ASSISTANT, content="three"),
        Message(role=Role.ASSISTANT, content=""),
        Message(role=Role.SYSTEM, content="B"),
        Message(role=Role.ASSISTANT, content="four"),
        user("five"),
    )
    body = to_wire(chat(*messages), MODEL)
    assert body["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "one"}, {"text": "two"}]},
        {"role": "model", "parts": [{"text": "three"}, {"text": "four"}]},
        {"role": "user", "parts": [{"text": "five"}]},
    ]


def test_a_turn_without_a_word_is_left_out() -> None:
    assert contents_of([user("one"), Message(role=Role.ASSISTANT, content="")], MODEL) == [
        {"role": "user", "parts": [{"text": "one"}]}
    ]


def test_calls_and_results_carry_the_names_and_ids_that_came() -> None:
    messages = (
        calls(call("fc_9", arguments='{"city": "Oslo"}', signature="c2ln"), call("fc_8", "stop")),
        result("fc_9", '{"time": 7}'),
        result("fc_8", "no", is_error=True),
    )
    assert contents_of(messages, MODEL) == [
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": "fc_9", "name": "get_time", "args": {"city": "Oslo"}},
                    "thoughtSignature": "c2ln",
                },
                {"functionCall": {"id": "fc_8", "name": "stop", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "fc_9",
                        "name": "get_time",
                        "response": {"time": 7},
                    }
                },
                {
                    "functionResponse": {
                        "id": "fc_8",
                        "name": "stop",
                        "response": {"error": "no"},
                    }
                },
            ],
        },
    ]


def test_results_without_ids_go_in_the_order_of_their_calls_before_other_words() -> None:
    messages = (
        calls(call("call_0"), call("call_1", "stop")),
        user("Well?"),
        result("call_1", "second"),
        result("call_0", "[1]"),
    )
    [model, answers] = contents_of(messages, OLD)
    assert model["parts"] == [
        {"functionCall": {"name": "get_time", "args": {}}},
        {"functionCall": {"name": "stop", "args": {}}},
    ]
    assert answers["parts"] == [
        {"functionResponse": {"name": "get_time", "response": {"result": "[1]"}}},
        {"functionResponse": {"name": "stop", "response": {"result": "second"}}},
        {"text": "Well?"},
    ]


def test_an_image_that_a_tool_gave_follows_its_result() -> None:
    image = ImagePart(url="data:image/png;base64,AAAA")
    shown = Message(role=Role.TOOL, tool_call_id="call_0", content=(TextPart(text="Look"), image))
    [_, answers] = contents_of((calls(call("call_0")), shown), OLD)
    assert answers["parts"] == [
        {"functionResponse": {"name": "get_time", "response": {"result": "Look"}}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    ]


def test_another_models_calls_are_marked_for_models_that_want_signatures() -> None:
    foreign = calls(call("toolu_1"), call("toolu_2"))
    [new], [old] = contents_of([foreign], MODEL), contents_of([foreign], OLD)
    assert [part.get("thoughtSignature") for part in new["parts"]] == [NO_SIGNATURE, None]
    assert [part.get("thoughtSignature") for part in old["parts"]] == [None, None]


def test_what_only_gemini_understands_goes_back_untouched() -> None:
    thought = {"text": "Hm.", "thought": True, "thoughtSignature": "b25l"}
    content = (
        OpaquePart(wire="gemini", data=thought),
        OpaquePart(wire="anthropic", data={"type": "thinking"}),
        TextPart(text="Fine."),
        OpaquePart(wire="gemini", data={"thoughtSignature": "dHdv"}),
        OpaquePart(wire="gemini", data={"text": "", "thoughtSignature": "dGhyZWU="}),
        OpaquePart(wire="gemini", data={"thoughtSignature": "Zm91cg=="}),
    )
    [turn] = contents_of([Message(role=Role.ASSISTANT, content=content)], MODEL)
    assert turn["parts"] == [
        thought,
        {"text": "Fine.", "thoughtSignature": "dHdv"},
        {"text": "", "thoughtSignature": "dGhyZWU="},
        {"text": "", "thoughtSignature": "Zm91cg=="},
    ]


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (
            ImagePart(url="data:image/png;base64,AA=="),
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        ),
        (
            FilePart(url="data:application/pdf;name=a.pdf;base64,AA=="),
            {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
        ),
    ],
)
def test_images_and_files_are_bytes(part: Part, wire: Any) -> None:
    [turn] = contents_of([user(part)], MODEL)
    assert turn["parts"] == [wire]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ((user(ImagePart(url="https://a.example/a.png?key=secret")),), "begins with 'https://'"),
        ((user(FilePart(url="gs://bucket/a.pdf")),), "begins with 'gs://buc'"),
        ((user(ImagePart(url="data:image/svg+xml,%3Csvg")),), "begins with 'data:ima'"),
        ((user("?"), result("call_7", "x")), "'call_7' answers no tool call"),
        ((calls(call("fc", arguments="[1]")),), "'fc' must be a JSON object"),
        ((calls(call("fc", arguments="{")),), "'fc' must be a JSON object"),
    ],
)
def test_what_cannot_be_said_is_refused_before_it_is_sent(
    messages: tuple[Message, ...], complaint: str
) -> None:
    with pytest.raises(CallError, match=complaint) as refused:
        to_wire(chat(*messages), MODEL)
    assert refused.value.kind is FailureKind.BAD_REQUEST
    assert "secret" not in refused.value.message
