"""How every provider fails: one word of ours for each of its errors, one request a call."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from shared.domain.attempt import AttemptState
from shared.domain.failure import ATTEMPT_ENDS, FailureKind
from shared.domain.generation import Delta, ReasoningEffort
from tests.conformance.conftest import Caller, Open
from tests.conformance.targets import conforms
from tests.conformance.test_answers import EITHER_WAY, TALK, chat, says

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


Said = Mapping[FailureKind, Mapping[str, object]]

WORDS_OF_OPENAI: Said = {
    FailureKind.CONTEXT_LENGTH: {
        "status": 400, "code": "context_length_exceeded",
        "message": "This model's maximum context length is 8192 tokens.",
    },
    FailureKind.CONTENT_FILTERED: {
        "status": 400, "code": "content_filter", "message": "Content violates usage guidelines.",
    },
    FailureKind.QUOTA: {
        "status": 429, "type": "insufficient_quota", "code": "insufficient_quota",
        "message": "You have used all available credits.",
    },
}  # fmt: skip
WORDS_OF_ANTHROPIC: Said = {
    FailureKind.CONTEXT_LENGTH: {"status": 400, "message": "prompt is too long: 9 tokens > 8"},
    FailureKind.CONTENT_FILTERED: {
        "status": 400, "message": "Output blocked by content filtering policy",
    },
    FailureKind.QUOTA: {
        "status": 400, "message": "You have reached your specified API usage limits.",
    },
    FailureKind.OVERLOADED: {"status": 529, "message": "Overloaded"},
}  # fmt: skip
WORDS_OF_GEMINI: Said = {
    FailureKind.CONTEXT_LENGTH: {
        "status": 400,
        "message": "The input token count (9) exceeds the maximum number of tokens allowed (8).",
    },
    FailureKind.CONTENT_FILTERED: {"block_reason": "PROHIBITED_CONTENT"},
    FailureKind.QUOTA: {
        "status": 429, "message": "Your project has exceeded its spending cap.",
    },
}  # fmt: skip
WORDS = {
    "anthropic": WORDS_OF_ANTHROPIC,
    "gemini": WORDS_OF_GEMINI,
    "vertex": WORDS_OF_GEMINI,
}
"""By adapter; all others speak as OpenAI does."""


@conforms("errors by kind")
@EITHER_WAY
async def test_what_a_provider_says_decides_where_its_status_does_not(
    caller: Caller, *, streamed: bool
) -> None:
    for kind, said in WORDS.get(caller.target.adapter, WORDS_OF_OPENAI).items():
        await caller.simulator.script({"do": said})
        error = await caller.failure(TALK, [] if streamed else None)
        assert error.kind is kind, error.message


@conforms("errors by kind")
@EITHER_WAY
async def test_who_does_not_answer_in_time_or_is_not_there_is_told_apart(
    caller: Caller, open_target: Open, *, streamed: bool
) -> None:
    told: list[Delta] | None = [] if streamed else None
    await caller.simulator.script({"do": {"stall": 30}})
    assert (await caller.failure(TALK, told, seconds=0.5)).kind is FailureKind.TIMEOUT
    await caller.idle()
    away = await open_target(caller.target, "http://127.0.0.1:1" + caller.target.path)
    error = await replace(caller, adapter=away).failure(TALK, told)
    assert error.kind is FailureKind.UNREACHABLE


@conforms("errors by kind")
@EITHER_WAY
async def test_each_error_has_our_word(caller: Caller, *, streamed: bool) -> None:
    for status, kinds in KINDS_OF_STATUS.items():
        # A 429 without a wait means at some providers that none will help.
        wait = {"retry_after": 1} if status == 429 else {}
        await caller.simulator.script({"do": {"status": status, **wait}})
        error = await caller.failure(TALK, [] if streamed else None)
        assert error.kind in kinds, f"{status}: {error.message}"
        assert error.message
    assert caller.billed() == []


@conforms("waits that it asks for")
async def test_a_wait_is_heard(caller: Caller) -> None:
    await caller.simulator.script({"do": {"status": 429, "retry_after": 7}})
    error = await caller.failure(TALK)
    assert error.kind is FailureKind.RATE_LIMITED
    assert error.retry_after == pytest.approx(7)


BROKEN_REPLIES = {
    "garbage": ({"garbage": True}, {FailureKind.BAD_RESPONSE}),
    "error_200": ({"error_200": True}, {FailureKind.BAD_RESPONSE, FailureKind.SERVER}),
    "truncate": ({"truncate": True}, {FailureKind.BAD_RESPONSE, FailureKind.CONNECTION}),
    "reset_before": ({"reset": "before"}, {FailureKind.CONNECTION}),
    "reset_after": ({"reset": "after"}, {FailureKind.CONNECTION}),
}


@conforms("broken replies")
@EITHER_WAY
@pytest.mark.parametrize("fault", BROKEN_REPLIES)
async def test_what_is_no_answer_is_a_failure(
    caller: Caller, fault: str, *, streamed: bool
) -> None:
    broken, kinds = BROKEN_REPLIES[fault]
    await caller.simulator.script({"do": broken})
    error = await caller.failure(TALK, [] if streamed else None)
    assert error.kind in kinds
    unknown = error.perhaps_billed or ATTEMPT_ENDS[error.kind] is AttemptState.UNKNOWN
    assert unknown, "the provider may have billed it"


OURS = {
    FailureKind.UNFETCHED,
    FailureKind.INVALID_OUTPUT,
    FailureKind.INTERRUPTED,
    FailureKind.INTERNAL,
}
"""What no provider brings about."""
OF_ONE_WIRE = {FailureKind.SLOW_DOWN}
"""OpenAI alone tells it from any other 429."""
WITHOUT_A_REPLY = {FailureKind.TIMEOUT, FailureKind.UNREACHABLE}


def test_every_kind_of_failure_is_proven_of_every_wire() -> None:
    anywhere = WITHOUT_A_REPLY.union(
        *KINDS_OF_STATUS.values(), *(kinds for _, kinds in BROKEN_REPLIES.values())
    )
    for words in (WORDS_OF_OPENAI, *WORDS.values()):
        assert anywhere | words.keys() == set(FailureKind) - OURS - OF_ONE_WIRE


@conforms("exact usage")
@EITHER_WAY
async def test_the_usage_is_what_is_billed(caller: Caller, *, streamed: bool) -> None:
    answer = await caller.answer(TALK, [] if streamed else None)
    [line] = caller.billed()
    usage = answer.result.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (
        line.prompt_tokens,
        line.completion_tokens,
    )
    assert usage.cost_nano == (line.cost_nano if caller.target.tells_cost else None)
    assert answer.provider_request_id == line.request_id
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens


@conforms("thought that is counted")
@EITHER_WAY
async def test_thought_is_told_as_part_of_the_output(caller: Caller, *, streamed: bool) -> None:
    asked = replace(TALK, reasoning_effort=ReasoningEffort.LOW)
    usage = (await caller.answer(asked, [] if streamed else None)).result.usage
    [line] = caller.billed()
    assert usage is not None
    assert 0 < usage.reasoning_tokens == line.reasoning_tokens < usage.output_tokens
    assert usage.output_tokens == line.completion_tokens


@conforms("cached input")
@EITHER_WAY
async def test_cached_input_is_told(caller: Caller, *, streamed: bool) -> None:
    long = chat(says(LONG))
    first = (await caller.answer(long)).result.usage
    second = (await caller.answer(long, [] if streamed else None)).result.usage
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
    await caller.idle()
    assert (await caller.result(chat(says("And now?")))).content, "the adapter serves on"
