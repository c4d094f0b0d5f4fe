"""What every provider streams: the pieces are the whole, and an end that is missing is told."""

import asyncio
from dataclasses import replace

import pytest

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, FinishReason
from tests.conformance.conftest import Caller
from tests.conformance.targets import conforms
from tests.conformance.test_answers import CLOCK, TALK, WEATHER, chat, says


@conforms("streamed text")
async def test_the_pieces_of_a_text_are_the_text(caller: Caller) -> None:
    told: list[Delta] = []
    answer = await caller.answer(replace(TALK, stream=True), told)
    result = answer.result
    assert len([delta for delta in told if delta.text]) > 1
    assert "".join(delta.text for delta in told) == result.content
    assert result.finish_reason is FinishReason.STOP
    assert result.first_token_ms is not None
    assert answer.provider_request_id


@conforms("streamed text")
async def test_no_character_ends_a_line_or_a_text_that_does_not(caller: Caller) -> None:
    strange = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh\r\ni\n\nj\ufeffk é 😀 data: l"
    await caller.simulator.script({"do": {"content": strange}})
    told: list[Delta] = []
    result = (await caller.answer(replace(TALK, stream=True), told)).result
    assert "".join(delta.text for delta in told) == result.content == strange
    assert (await caller.result(TALK)).content == strange


@conforms("streamed tools")
async def test_the_pieces_of_tool_calls_are_the_calls(caller: Caller) -> None:
    asked = chat(says("[parallel] Weather and time in Paris?"), tools=(WEATHER, CLOCK), stream=True)
    told: list[Delta] = []
    result = (await caller.answer(asked, told)).result
    assert result.finish_reason is FinishReason.TOOL_CALLS
    assert len(result.tool_calls) == 2
    for index, call in enumerate(result.tool_calls):
        pieces = [delta for delta in told if delta.tool_call == index]
        assert "".join(delta.arguments for delta in pieces) == call.arguments
        assert "".join(delta.tool_name for delta in pieces) == call.name
        assert "".join(delta.tool_call_id for delta in pieces) == call.id


@conforms("stream that is cut")
async def test_a_stream_without_its_end_is_a_failure(caller: Caller) -> None:
    for fault in ({"cut": True}, {"truncate": True}):
        await caller.simulator.script({"do": fault})
        told: list[Delta] = []
        error = await caller.failure(replace(TALK, stream=True), told)
        assert error.kind is FailureKind.CONNECTION, fault
        assert told, "what came before was told"


@conforms("error within a stream")
async def test_an_error_amid_a_stream_is_a_failure_that_may_be_billed(caller: Caller) -> None:
    await caller.simulator.script({"do": {"stream_error": True}})
    told: list[Delta] = []
    error = await caller.failure(replace(TALK, stream=True), told)
    assert error.kind in {FailureKind.SERVER, FailureKind.OVERLOADED}, error.message
    assert error.perhaps_billed
    assert told, "what came before was told"


@conforms("cancel in the middle")
async def test_a_stream_can_be_broken_off(caller: Caller) -> None:
    slow = {"content": "word " * 400, "slow_bytes": 0.05}
    await caller.simulator.script({"match": {"contains": "sky"}, "do": slow})
    told: list[Delta] = []
    streaming = asyncio.create_task(caller.answer(replace(TALK, stream=True), told))
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.02)
    assert (await caller.simulator.stats())["in_flight"] == 1
    streaming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await streaming
    await caller.idle()
    assert len(caller.billed()) == 1, "what was begun is billed"
    assert (await caller.result(chat(says("And now?")))).content, "the adapter serves on"
