"""How every provider fails: one word of ours for each of its errors, one request a call."""

import asyncio

import pytest

from shared.domain.failure import FailureKind
from tests.conformance.conftest import Caller
from tests.conformance.targets import conforms
from tests.conformance.test_answers import TALK, chat, says

KINDS_OF_STATUS = {
    400: {FailureKind.BAD_REQUEST},
    401: {FailureKind.AUTH},
    403: {FailureKind.AUTH},
    404: {FailureKind.NOT_FOUND},
    413: {FailureKind.TOO_LARGE},
    429: {FailureKind.RATE_LIMITED},
    500: {FailureKind.SERVER},
    # Some call a 503 what they call any fault of their own.
    503: {FailureKind.OVERLOADED, FailureKind.SERVER},
}
LONG = "The history of tea, told at length. " * 400


@conforms("errors by kind")
async def test_each_error_has_our_word(caller: Caller) -> None:
    for status, kinds in KINDS_OF_STATUS.items():
        # A 429 without a wait means at some providers that none will help.
        wait = {"retry_after": 1} if status == 429 else {}
        await caller.simulator.script({"do": {"status": status, **wait}})
        error = await caller.failure(TALK)
        assert error.kind in kinds, f"{status}: {error.message}"
        assert error.message
    assert caller.billed() == []


@conforms("waits that it asks for")
async def test_a_wait_is_heard(caller: Caller) -> None:
    await caller.simulator.script({"do": {"status": 429, "retry_after": 7}})
    error = await caller.failure(TALK)
    assert error.kind is FailureKind.RATE_LIMITED
    assert error.retry_after == pytest.approx(7)


@conforms("broken replies")
@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ({"garbage": True}, {FailureKind.BAD_RESPONSE}),
        ({"error_200": True}, {FailureKind.BAD_RESPONSE, FailureKind.SERVER}),
        ({"truncate": True}, {FailureKind.BAD_RESPONSE, FailureKind.CONNECTION}),
        ({"reset": "before"}, {FailureKind.CONNECTION}),
        ({"reset": "after"}, {FailureKind.CONNECTION}),
    ],
    ids=["garbage", "error_200", "truncate", "reset_before", "reset_after"],
)
async def test_what_is_no_answer_is_a_failure(
    caller: Caller, fault: dict[str, object], kinds: set[FailureKind]
) -> None:
    await caller.simulator.script({"do": fault})
    assert (await caller.failure(TALK)).kind in kinds


@conforms("exact usage")
async def test_the_usage_is_what_is_billed(caller: Caller) -> None:
    answer = await caller.answer(TALK)
    [line] = caller.billed()
    usage = answer.result.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (
        line.prompt_tokens,
        line.completion_tokens,
    )
    assert answer.provider_request_id == line.request_id
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens


@conforms("cached input")
async def test_cached_input_is_told(caller: Caller) -> None:
    long = chat(says(LONG))
    first = (await caller.answer(long)).result.usage
    second = (await caller.answer(long)).result.usage
    assert first is not None
    assert second is not None
    assert second.cached_tokens >= 1024
    assert second.input_tokens == first.input_tokens, "what is cached is part of the input"
    _, line = caller.billed()
    assert second.cached_tokens == line.cached_tokens


@conforms("one request a call")
async def test_a_call_is_one_request(caller: Caller) -> None:
    before = (await caller.simulator.stats())["accepted"]
    await caller.answer(TALK)
    assert (await caller.simulator.stats())["accepted"] == before + 1
    for fault in ({"status": 500}, {"status": 429, "retry_after": 0.01}, {"reset": "after"}):
        before = (await caller.simulator.stats())["accepted"]
        await caller.simulator.script({"do": fault})
        await caller.failure(TALK)
        assert (await caller.simulator.stats())["accepted"] == before + 1, fault


@conforms("cancel in the middle")
async def test_a_call_can_be_broken_off(caller: Caller) -> None:
    await caller.simulator.script({"match": {"contains": "sky"}, "do": {"hang": True}})
    hanging = asyncio.create_task(caller.answer(TALK))
    async with asyncio.timeout(10):
        while not caller.billed():
            await asyncio.sleep(0.02)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    async with asyncio.timeout(10):
        while (await caller.simulator.stats())["in_flight"]:
            await asyncio.sleep(0.02)
    assert (await caller.result(chat(says("And now?")))).content, "the adapter serves on"
