"""What every provider streams: the pieces are the whole, and an end that is missing is told."""

from dataclasses import replace

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
    [line] = caller.billed()
    assert result.usage is not None
    assert result.usage.output_tokens == line.completion_tokens


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
