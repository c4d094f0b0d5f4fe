"""A job's deltas become chunks that the real SDK accumulates to the whole answer."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from shared.faces.openai_reply import reply_of
from shared.faces.openai_request import CHATS
from shared.faces.openai_stream import DONE, Chunks, TextChunks

USAGE = {"input_tokens": 3, "output_tokens": 5}
CALLS = [
    {"id": "call_1", "name": "weather", "arguments": '{"city":"Ulm"}'},
    {"id": "call_2", "name": "clock", "arguments": "{}", "signature": "sig"},
]


def chunks(**options: Any) -> Chunks:
    return Chunks(id="chatcmpl-job_1", created=7, model="m", **options)


def read(events: Iterable[bytes]) -> list[dict[str, Any]]:
    """The data of the events but the last, which says that it is the last."""
    *told, done = events
    assert done == DONE
    assert all(each.startswith(b"data: ") and each.endswith(b"\n\n") for each in told)
    return [json.loads(each.removeprefix(b"data: ")) for each in told]


def accumulated(told: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the SDK makes of them."""
    state = ChatCompletionStreamState()
    for each in told:
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    final: dict[str, Any] = state.get_final_completion().to_dict()
    return final


def result(**changes: Any) -> dict[str, Any]:
    return {"content": "", "finish_reason": "stop", "model": "m", "usage": USAGE, **changes}


@pytest.mark.parametrize(
    ("deltas", "whole"),
    [
        ([{"text": "Hel"}, {"text": "lo"}], {"content": "Hello"}),
        ([{"refusal": "I will "}, {"refusal": "not."}], {"refusal": "I will not."}),
        (
            [
                {"tool_call": 0, "tool_call_id": "call_1", "tool_name": "weather"},
                {"tool_call": 0, "arguments": '{"city":'},
                {"tool_call": 0, "arguments": '"Ulm"}'},
            ],
            {"tool_calls": CALLS[:1], "finish_reason": "tool_calls"},
        ),
    ],
)
def test_deltas_add_up_to_the_answer(deltas: list[Any], whole: dict[str, Any]) -> None:
    stream, ended = chunks(with_usage=True), result(**whole)
    events = [event for delta in deltas for event in stream.of(delta)]
    final = accumulated(read([*events, *stream.rest(ended)]))
    expected = reply_of(CHATS, "job_1", 7, ended)
    message, known = final["choices"][0]["message"], expected["choices"][0]["message"]
    assert (message["content"] or None) == (known["content"] or None)
    assert message.get("refusal") == known["refusal"]
    assert [call["function"]["arguments"] for call in message.get("tool_calls") or ()] == [
        call["function"]["arguments"] for call in known.get("tool_calls") or ()
    ]
    assert final["choices"][0]["finish_reason"] == expected["choices"][0]["finish_reason"]
    assert final["usage"]["total_tokens"] == 8


def test_what_was_never_told_is_told_at_the_end() -> None:
    told = read(chunks().rest(result(tool_calls=CALLS, finish_reason="tool_calls")))
    deltas = [each["choices"][0]["delta"] for each in told]
    assert deltas[0] == {"role": "assistant", "content": None, "refusal": None}
    assert [call["id"] for delta in deltas[1:3] for call in delta["tool_calls"]] == [
        "call_1",
        "call_2",
    ]
    [signed] = deltas[3]["tool_calls"]
    assert signed["extra_content"]["google"]["thought_signature"] == "sig"
    assert told[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_empty_answer_still_says_who_speaks() -> None:
    told = read(chunks().rest(result()))
    assert [each["choices"][0]["delta"] for each in told] == [
        {"role": "assistant", "content": "", "refusal": None},
        {},
    ]


def test_thought_is_beside_the_answer() -> None:
    stream = chunks()
    events = [*stream.of({"reasoning": "Hm."}), *stream.of({"text": "Yes."})]
    told = read([*events, *stream.rest(result(content="Yes."))])
    assert told[1]["choices"][0]["delta"] == {"reasoning_content": "Hm."}


def test_usage_is_null_until_the_last_chunk_and_absent_where_nobody_wants_it() -> None:
    *told, last = read(chunks(with_usage=True).rest(result(content="x")))
    assert {each["usage"] for each in told} == {None}
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 8)
    assert not any("usage" in each for each in read(chunks().rest(result(content="x"))))


def test_a_completions_chunks_are_texts() -> None:
    stream = TextChunks(id="cmpl-job_1", created=7, model="m")
    told = read([*stream.of({"text": "blue"}), *stream.rest(result(content="blue"))])
    texts = [each["choices"][0] for each in told]
    assert [(each["text"], each["finish_reason"]) for each in texts] == [
        ("blue", None),
        ("", "stop"),
    ]
    assert told[0]["object"] == "text_completion"
