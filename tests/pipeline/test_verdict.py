"""Each way a call can end: what becomes of the job, its tries, its money and its deployment."""

from datetime import UTC, datetime
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shared.catalog.load import load_catalog
from shared.domain.attempt import AttemptState
from shared.domain.clock import SystemClock
from shared.domain.failure import FailureKind
from shared.domain.generation import FinishReason, GenerationResult, Usage
from shared.domain.job import JobState, WaitReason
from tests.pipeline.attempts import DEPLOYMENT, attempt
from worker.adapters.base import Answer, CallError
from worker.pipeline.verdict import (
    BACKOFF_CAP,
    TOLD_INSTEAD,
    backoff,
    failed,
    interrupted,
    price_called,
    succeeded,
)

CATALOG = load_catalog()
QUEUED, SCHEDULED, FAILED = JobState.QUEUED, JobState.SCHEDULED, JobState.FAILED
REFUSED, BROKEN, UNKNOWN = AttemptState.REFUSED, AttemptState.FAILED, AttemptState.UNKNOWN


class End(NamedTuple):
    """What follows a failure; a charge of None is the hold, a 1 says yes."""

    job: JobState
    attempt: AttemptState
    charge: int | None
    spends_try: int
    elsewhere: int
    rest: float


ENDS = {
    FailureKind.RATE_LIMITED: End(QUEUED, REFUSED, 0, 0, 0, 1.0),
    FailureKind.SLOW_DOWN: End(QUEUED, REFUSED, 0, 0, 0, 5.0),
    FailureKind.QUOTA: End(SCHEDULED, REFUSED, 0, 1, 1, 5.0),
    FailureKind.AUTH: End(SCHEDULED, REFUSED, 0, 1, 1, 30.0),
    FailureKind.NOT_FOUND: End(SCHEDULED, REFUSED, 0, 1, 1, 10.0),
    FailureKind.CONTEXT_LENGTH: End(FAILED, REFUSED, 0, 0, 0, 0.0),
    FailureKind.TOO_LARGE: End(FAILED, REFUSED, 0, 0, 0, 0.0),
    FailureKind.CONTENT_FILTERED: End(FAILED, REFUSED, 0, 0, 0, 0.0),
    FailureKind.BAD_REQUEST: End(FAILED, REFUSED, 0, 0, 0, 0.0),
    FailureKind.OVERLOADED: End(SCHEDULED, BROKEN, 0, 1, 1, 1.0),
    FailureKind.SERVER: End(SCHEDULED, BROKEN, 0, 1, 1, 0.0),
    FailureKind.UNREACHABLE: End(SCHEDULED, BROKEN, 0, 1, 1, 0.0),
    FailureKind.TIMEOUT: End(SCHEDULED, UNKNOWN, None, 1, 1, 0.0),
    FailureKind.CONNECTION: End(SCHEDULED, UNKNOWN, None, 1, 1, 0.0),
    FailureKind.BAD_RESPONSE: End(SCHEDULED, UNKNOWN, None, 1, 0, 0.0),
    FailureKind.UNFETCHED: End(SCHEDULED, BROKEN, 0, 1, 0, 0.0),
    FailureKind.INVALID_OUTPUT: End(SCHEDULED, BROKEN, 0, 1, 0, 0.0),
    FailureKind.INTERRUPTED: End(QUEUED, UNKNOWN, None, 0, 0, 0.0),
    FailureKind.INTERNAL: End(FAILED, UNKNOWN, None, 0, 0, 0.0),
}


def test_the_table_of_ends_is_whole() -> None:
    assert set(ENDS) == set(FailureKind)


@pytest.mark.parametrize(("kind", "end"), ENDS.items())
def test_each_failure_has_its_consequences(kind: FailureKind, end: End) -> None:
    decision = failed(attempt(), CallError(kind, "words", provider_request_id="req_1"), 12)
    leaving = decision.leaving
    assert end == End(
        job=leaving.job_state,
        attempt=leaving.attempt_state,
        charge=leaving.cost_nano,
        spends_try=leaving.spends_try,
        elsewhere=leaving.tried == DEPLOYMENT,
        rest=decision.block_seconds,
    )
    assert (leaving.attempt_id, leaving.job_id, leaving.epoch) == ("att_1", "job_1", 3)
    told = TOLD_INSTEAD.get(kind, "words")
    assert (leaving.failure_kind, leaving.error, leaving.latency_ms) == (kind, told, 12)
    assert leaving.provider_request_id == "req_1"
    assert leaving.result is None
    waits = WaitReason.BACKOFF if end.job is SCHEDULED else None
    assert leaving.wait_reason is waits


@pytest.mark.parametrize(("kind", "end"), ENDS.items())
def test_the_last_try_is_the_last_only_for_what_spends_tries(kind: FailureKind, end: End) -> None:
    last = failed(attempt(tries=4), CallError(kind, "words"), 1).leaving
    earlier = failed(attempt(tries=3), CallError(kind, "words"), 1).leaving
    assert last.job_state is (FAILED if end.spends_try else end.job)
    assert earlier.job_state is end.job


@pytest.mark.parametrize(("kind", "end"), ENDS.items())
def test_a_named_wait_is_obeyed(kind: FailureKind, end: End) -> None:
    decision = failed(attempt(), CallError(kind, "words", retry_after=777.0), 1)
    # Who goes elsewhere need not wait; the deployment rests as long as it wants to.
    assert (decision.leaving.delay_seconds == 777.0) is not bool(end.elsewhere)
    assert decision.block_seconds == (777.0 if end.rest or end.elsewhere else 0.0)


@pytest.mark.parametrize("kind", [FailureKind.OVERLOADED, FailureKind.INVALID_OUTPUT])
def test_what_had_begun_to_answer_is_charged_at_its_hold_where_nobody_says_more(
    kind: FailureKind,
) -> None:
    error = CallError(kind, "words")
    error.perhaps_billed = True
    leaving = failed(attempt(), error, 1).leaving
    assert (leaving.attempt_state, leaving.cost_nano) == (UNKNOWN, None)
    unpriced = failed(attempt(), CallError(kind, "words", usage=Usage(input_tokens=1)), 1).leaving
    assert (unpriced.attempt_state, unpriced.cost_nano) == (UNKNOWN, None)


@pytest.mark.parametrize(("kind", "end"), ENDS.items())
def test_a_failure_that_was_billed_is_charged_exactly(kind: FailureKind, end: End) -> None:
    usage = Usage(input_tokens=1000, output_tokens=100)
    billed = CallError(kind, "words", usage=usage)
    price = price_called(CATALOG.find(DEPLOYMENT), usage, SystemClock(), 1)
    assert price is not None
    leaving = failed(attempt(), billed, 1, price).leaving
    assert leaving.cost_nano == price.cost_nano > 0
    assert orjson.loads(leaving.usage or "")["output_tokens"] == 100
    assert leaving.attempt_state is (BROKEN if end.attempt is UNKNOWN else end.attempt)
    assert leaving.job_state is end.job


def test_a_used_up_quota_switches_off_unless_it_says_when_it_is_there_again() -> None:
    forever = failed(attempt(), CallError(FailureKind.QUOTA, "Pay."), 1)
    tomorrow = failed(attempt(), CallError(FailureKind.QUOTA, "A day.", retry_after=9000.0), 1)
    slower = failed(attempt(), CallError(FailureKind.RATE_LIMITED, "Slower."), 1)
    told = TOLD_INSTEAD[FailureKind.QUOTA]
    assert (forever.used_up, tomorrow.used_up, slower.used_up) == (told, None, None)
    assert tomorrow.block_seconds == 9000.0


def test_an_output_that_is_invalid_again_goes_to_another_deployment() -> None:
    error = CallError(FailureKind.INVALID_OUTPUT, "words")
    first = failed(attempt(last_failure="server"), error, 1).leaving
    again = failed(attempt(last_failure="invalid_output"), error, 1).leaving
    assert (first.tried, again.tried) == (None, DEPLOYMENT)
    assert first.job_state is again.job_state is SCHEDULED


def test_a_named_wait_of_nothing_is_no_invitation_to_hammer() -> None:
    decision = failed(attempt(), CallError(FailureKind.RATE_LIMITED, "words", retry_after=0.0), 1)
    assert decision.block_seconds == 1.0


@given(tries=st.integers(0, 1000))
def test_a_pause_grows_to_its_cap_and_is_jittered_above_its_half(tries: int) -> None:
    ceiling = min(2.0**tries, BACKOFF_CAP)
    assert ceiling / 2 <= backoff(tries) <= ceiling


def test_pauses_of_one_try_differ() -> None:
    assert len({backoff(3) for _ in range(50)}) > 40


@pytest.mark.parametrize(
    ("sent", "state", "charge"), [(True, UNKNOWN, None), (False, AttemptState.FAILED, 0)]
)
def test_what_we_break_off_is_charged_only_if_it_was_sent(
    sent: bool,  # noqa: FBT001 - the case
    state: AttemptState,
    charge: int | None,
) -> None:
    decision = interrupted(attempt(tries=4), to=QUEUED, reason="drained", sent=sent)
    leaving = decision.leaving
    assert (leaving.attempt_state, leaving.cost_nano) == (state, charge)
    assert (leaving.job_state, leaving.spends_try, decision.block_seconds) == (QUEUED, False, 0.0)
    assert (leaving.failure_kind, leaving.error) == (FailureKind.INTERRUPTED, "drained")


def answer(usage: Usage | None) -> Answer:
    result = GenerationResult(
        content="naïve \x00", finish_reason=FinishReason.LENGTH, model="m-1", usage=usage
    )
    return Answer(result, "req_1")


def test_an_answer_is_stored_whole_with_its_exact_cost() -> None:
    usage = Usage(input_tokens=100, cached_tokens=40, output_tokens=10, reasoning_tokens=5)
    deployment = CATALOG.find(DEPLOYMENT)
    decision = succeeded(attempt(), deployment, answer(usage), 250, SystemClock())
    leaving = decision.leaving
    assert (leaving.attempt_state, leaving.job_state) == (
        AttemptState.ANSWERED,
        JobState.SUCCEEDED,
    )
    assert leaving.cost_nano == 60 * 400 + 40 * 100 + 10 * 1600
    stored = orjson.loads(leaving.result or "")
    assert TypeAdapter(GenerationResult).validate_python(stored) == answer(usage).result
    assert stored["usage"] == orjson.loads(leaving.usage or "")
    assert stored["content"] == "naïve \x00"
    assert orjson.loads(leaving.price or "")["model"] == "gpt-4.1-mini"
    assert (leaving.provider_request_id, leaving.latency_ms) == ("req_1", 250)
    assert decision.block_seconds == 0.0


def test_an_answer_without_usage_stands_and_its_hold_is_charged() -> None:
    leaving = succeeded(attempt(), CATALOG.find(DEPLOYMENT), answer(None), 1, SystemClock()).leaving
    assert leaving.job_state is JobState.SUCCEEDED
    assert (leaving.cost_nano, leaving.usage, leaving.price) == (None, None, None)


def test_an_answer_without_a_price_stands_and_its_hold_is_charged() -> None:
    model = load_catalog().models["gpt-4o"]
    unpriced = CATALOG.deployment(
        CATALOG.providers["openai"], type(model)(id="llama", context_window=9, max_output=9)
    )
    usage = Usage(input_tokens=1, output_tokens=1)
    leaving = succeeded(attempt(), unpriced, answer(usage), 1, SystemClock()).leaving
    assert leaving.job_state is JobState.SUCCEEDED
    assert (leaving.cost_nano, leaving.price) == (None, None)
    assert orjson.loads(leaving.usage or "")["input_tokens"] == 1


def test_a_call_is_priced_as_of_when_it_was_sent() -> None:
    """A price doubled with the new year, and the answer came a second after it."""

    class JustAfterMidnight:
        def now(self) -> datetime:
            return datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)

    usage = Usage(input_tokens=100, output_tokens=10)
    gemini = CATALOG.find("gemini/gemini-3.8-flash")
    before, after = (
        price_called(gemini, usage, JustAfterMidnight(), latency_ms) for latency_ms in (1_001, 999)
    )
    assert before
    assert after
    assert after.cost_nano == 2 * before.cost_nano == 2 * (100 * 750 + 10 * 3_750)
