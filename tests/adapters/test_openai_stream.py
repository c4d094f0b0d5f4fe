"""Streamed chat completions: each piece is told, and the whole is what comes whole otherwise."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.conversation import ToolCall
from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, FinishReason, Usage
from tests.adapters.canned import COMPLETION, Canned
from tests.adapters.conftest import Open
from tests.adapters.test_openai import REQUEST
from tests.adapters.test_openai_wire import JSON
from worker.adapters.base import Adapter, Answer, CallError, WireError
from worker.adapters.openai_stream import ChatAssembler

DONE = "data: [DONE]\n\n"
USAGE = {"choices": [], "usage": COMPLETION["usage"], "model": "gpt-4.1-mini"}
TOLD = [Delta(text="Fi"), Delta(text="ne 茶.")]


def chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "model": "gpt-4.1-mini", "choices": [choice], "usage": None}


def calling(index: Any, **function: Any) -> dict[str, Any]:
    call_id = function.pop("id", None)
    return chunk(tool_calls=[{"index": index, "id": call_id, "function": function}])


CHUNKS = (
    chunk(role="assistant", content=""),
    chunk(content="Fi"),
    chunk(content="ne 茶."),
    chunk("stop"),
    USAGE,
)


async def stream(adapter: Adapter, told: list[Delta], timeout: float = 10.0) -> Answer:
    return await adapter.complete(
        REQUEST, model="m", attempt_id="att_1", timeout=timeout, told=told.append
    )


def assembled(chunks: Sequence[Any]) -> tuple[ChatAssembler, list[Delta]]:
    assembler = ChatAssembler()
    return assembler, [delta for each in chunks for delta in assembler.eat(each)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_each_piece_is_told_and_the_whole_has_its_usage(
    provider: Canned, open_adapter: Open, end: str
) -> None:
    provider.streams(": keep-alive\n\n", *CHUNKS, DONE, end=end)
    provider.headers["x-request-id"] = "req_9"
    told: list[Delta] = []
    answer = await stream(open_adapter(provider.url), told)
    assert told == TOLD
    assert answer.provider_request_id == "req_9"
    assert answer.result.content == "Fine 茶."
    assert answer.result.finish_reason is FinishReason.STOP
    assert answer.result.usage == Usage(
        input_tokens=9, cached_tokens=4, output_tokens=7, reasoning_tokens=3
    )
    assert answer.result.first_token_ms is not None
    [(headers, body)] = provider.heard
    assert headers["x-client-request-id"] == "att_1"
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


async def test_a_sign_may_be_cut_in_two(provider: Canned, open_adapter: Open) -> None:
    provider.streams(*CHUNKS, DONE)
    whole = b"".join(provider.pieces).replace(rb"\u8336", "茶".encode())
    middle = whole.index("茶".encode()) + 1
    provider.pieces = (whole[:middle], whole[middle:])
    told: list[Delta] = []
    assert (await stream(open_adapter(provider.url), told)).result.content == "Fine 茶."
    assert told == TOLD


async def test_a_server_that_keeps_the_connection_is_left_with_the_answer(
    provider: Canned, open_adapter: Open
) -> None:
    provider.streams(*CHUNKS, DONE)
    provider.holds = True
    answer = await stream(open_adapter(provider.url), [], timeout=30)
    assert answer.result.usage is not None


async def test_a_server_that_does_not_stream_is_told_in_one_piece(
    provider: Canned, open_adapter: Open
) -> None:
    told: list[Delta] = []
    answer = await stream(open_adapter(provider.url), told)
    assert (told, answer.result.content) == ([Delta(text="Fine.")], "Fine.")


@pytest.mark.parametrize("events", [(), CHUNKS[:1], CHUNKS[:3], (*CHUNKS[:3], DONE)])
async def test_a_stream_without_its_last_word_is_a_broken_connection(
    provider: Canned, open_adapter: Open, events: tuple[Any, ...]
) -> None:
    provider.streams(": keep-alive\n\n", *events)
    with pytest.raises(CallError) as caught:
        await stream(open_adapter(provider.url), [])
    assert caught.value.kind is FailureKind.CONNECTION
    assert caught.value.usage is None, "nobody knows what is billed"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": {"message": "Busy.", "code": "server_is_overloaded"}}, FailureKind.OVERLOADED),
        ({"error": {"message": "Slower.", "code": 429}}, FailureKind.RATE_LIMITED),
        ({"error": "it broke"}, FailureKind.SERVER),
        ("data: {half\n\n", FailureKind.BAD_RESPONSE),
        ({"choices": 7}, FailureKind.BAD_RESPONSE),
        ([], FailureKind.BAD_RESPONSE),
    ],
)
async def test_an_error_in_the_middle_has_its_kind(
    provider: Canned, open_adapter: Open, event: Any, kind: FailureKind
) -> None:
    provider.streams(*CHUNKS[:3], event, *CHUNKS[3:], DONE)
    provider.headers["x-request-id"] = "req_9"
    told: list[Delta] = []
    with pytest.raises(CallError) as caught:
        await stream(open_adapter(provider.url), told)
    assert (caught.value.kind, caught.value.provider_request_id) == (kind, "req_9")
    assert told == TOLD, "what was said was told"


async def test_an_error_before_the_stream_is_an_error_as_ever(
    provider: Canned, open_adapter: Open
) -> None:
    provider.says({"error": {"message": "Slower."}}, 429, retry_after="3")
    with pytest.raises(CallError) as caught:
        await stream(open_adapter(provider.url), [])
    assert (caught.value.kind, caught.value.retry_after) == (FailureKind.RATE_LIMITED, 3.0)


async def test_a_stream_that_falls_silent_is_a_timeout(
    provider: Canned, open_adapter: Open
) -> None:
    provider.streams(*CHUNKS[:2])
    provider.holds = True
    with pytest.raises(CallError) as caught:
        await stream(open_adapter(provider.url), [], timeout=0.4)
    assert caught.value.kind is FailureKind.TIMEOUT


def test_tool_calls_come_in_pieces() -> None:
    assembler, told = assembled(
        [
            calling(0, id="call_a", name="f", arguments=""),
            calling(0, arguments='{"a"'),
            calling(1, id="call_b", name="g", arguments="{}"),
            calling(0, arguments=":1}"),
            chunk("tool_calls"),
        ]
    )
    assert told == [
        Delta(tool_call=0, tool_call_id="call_a", tool_name="f"),
        Delta(tool_call=0, arguments='{"a"'),
        Delta(tool_call=1, tool_call_id="call_b", tool_name="g", arguments="{}"),
        Delta(tool_call=0, arguments=":1}"),
    ]
    result = assembler.result()
    assert result.finish_reason is FinishReason.TOOL_CALLS
    assert result.tool_calls == (
        ToolCall(id="call_a", name="f", arguments='{"a":1}'),
        ToolCall(id="call_b", name="g", arguments="{}"),
    )


@pytest.mark.parametrize(
    ("pieces", "ids"),
    [
        # All at index 0, as some gateways count.
        ([(0, "x"), (0, "y")], ["x", "y"]),
        # No index: a piece without an id belongs to the last call.
        ([(None, "x"), (None, None), (None, "y")], ["x", "y"]),
        # The id again with every piece.
        ([(0, "x"), (0, "x"), (1, "y"), (1, "y")], ["x", "y"]),
        # No ids.
        ([(0, None), (1, None)], ["call_0", "call_1"]),
    ],
)
def test_a_server_that_counts_wrong_is_understood(
    pieces: list[tuple[Any, Any]], ids: list[str]
) -> None:
    chunks = [calling(index, id=call_id, name="f" if call_id else "") for index, call_id in pieces]
    assembler, told = assembled([*chunks, chunk("stop")])
    assert [call.id for call in assembler.result().tool_calls] == ids
    assert [delta.tool_call_id for delta in told if delta.tool_call_id] == ids


def test_thought_and_refusal_are_told_apart_from_the_answer() -> None:
    assembler, told = assembled(
        [
            chunk(reasoning_content="Hm."),
            chunk(reasoning="Hm!"),
            chunk(refusal="I will "),
            chunk(refusal="not."),
            chunk("stop"),
        ]
    )
    assert told == [
        Delta(reasoning="Hm."),
        Delta(reasoning="Hm!"),
        Delta(refusal="I will "),
        Delta(refusal="not."),
    ]
    result = assembler.result()
    assert (result.content, result.refusal) == ("", "I will not.")
    assert result.finish_reason is FinishReason.REFUSAL


def test_what_azures_filter_thinks_of_the_prompt_is_no_piece() -> None:
    first = {"choices": [], "model": "", "prompt_filter_results": [{"prompt_index": 0}]}
    assembler, told = assembled([first, *CHUNKS])
    assert told == TOLD
    assert assembler.result().model == "gpt-4.1-mini"


@given(junk=JSON, at=st.integers(0, 4))
def test_any_chunk_is_eaten_or_refused_and_breaks_nothing(junk: Any, at: int) -> None:
    for odd in (junk, {"choices": junk}, {"choices": [{"delta": junk}]}, chunk(tool_calls=junk)):
        assembler = ChatAssembler()
        try:
            for each in (*CHUNKS[:at], odd, *CHUNKS[at:]):
                assembler.eat(each)
            result = assembler.result()
        except (WireError, CallError):
            continue
        assert isinstance(replace(result).content, str)
