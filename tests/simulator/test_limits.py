"""The sliding window: never one too many, and a wait that is enough."""

import asyncio
import time

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.limits import Limits, SlidingWindow
from tests.simulator.process import Simulator, ask

ARRIVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), max_size=80)
"""Steps of time in eighths of a second, exact in binary, and tokens."""
WINDOW = 4.0


@given(arrivals=ARRIVALS, rpm=st.integers(0, 6), tpm=st.integers(0, 120))
def test_no_window_ever_holds_more_than_its_limits(
    arrivals: list[tuple[int, int]], rpm: int, tpm: int
) -> None:
    window = SlidingWindow(Limits(rpm=rpm, tpm=tpm, window=WINDOW))
    now, log = 0.0, list[tuple[float, int]]()
    for step, tokens in arrivals:
        now += step / 8
        recent = [cost for at, cost in log if now - WINDOW < at <= now]
        fits = (not rpm or len(recent) < rpm) and (not tpm or sum(recent) + tokens <= tpm)
        refusal = window.admit(now, tokens, 0)
        assert (refusal is None) == fits
        if refusal is None:
            log.append((now, tokens))
            recent.append(tokens)
        assert (window.requests, window.tokens) == (len(recent), sum(recent))


@given(arrivals=ARRIVALS, rpm=st.integers(1, 6), tpm=st.integers(60, 120))
def test_who_waits_as_told_is_let_in_and_no_earlier(
    arrivals: list[tuple[int, int]], rpm: int, tpm: int
) -> None:
    window, now = SlidingWindow(Limits(rpm=rpm, tpm=tpm, window=WINDOW)), 0.0
    for step, tokens in arrivals:
        now += step / 8
        if refusal := window.admit(now, tokens, 0):
            assert window.admit(now + refusal.retry_after - 1 / 16, tokens, 0) is not None
            now += refusal.retry_after
            assert window.admit(now, tokens, 0) is None


def test_a_request_above_the_whole_limit_is_told_to_wait_a_window() -> None:
    window = SlidingWindow(Limits(tpm=10, window=WINDOW))
    refusal = window.admit(0.0, 11, 0)
    assert refusal is not None
    assert refusal.retry_after == WINDOW


def test_the_log_stays_small_and_right() -> None:
    window = SlidingWindow(Limits(rpm=100, window=1.0))
    admitted = sum(window.admit(tick / 128, 3, 0) is None for tick in range(60_000))
    assert admitted == pytest.approx(60_000 / 128 * 100, rel=0.01)
    assert window.most_requests == 100
    assert window.most_tokens == 300


async def test_the_sdk_sees_a_rate_limit_error_with_the_wait(simulator: Simulator) -> None:
    await simulator.limit(rpm=2, window=30)
    await simulator.ask()
    await simulator.ask()
    with pytest.raises(openai.RateLimitError) as caught:
        await simulator.ask()
    headers = caught.value.response.headers
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.type == "requests"
    assert 29_000 < int(headers["retry-after-ms"]) <= 30_000
    assert int(headers["retry-after"]) == 30
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert len(simulator.ledger()) >= 2
    stats = await simulator.stats()
    assert (stats["accepted"], stats["rejected"], stats["billed_requests"]) == (2, 1, 2)


async def test_tokens_are_charged_by_the_requested_maximum(simulator: Simulator) -> None:
    await simulator.limit(tpm=17_000, window=30)
    await simulator.ask(max_completion_tokens=None, max_tokens=600)
    with pytest.raises(openai.RateLimitError) as caught:
        await simulator.ask(max_completion_tokens=None)
    assert caught.value.type == "tokens"
    await simulator.ask(max_completion_tokens=16_000)
    assert (await simulator.stats())["max_tokens_in_window"] == 600 + 16_000 + 2 * 9


async def test_a_window_gives_its_quota_again_when_it_has_passed(simulator: Simulator) -> None:
    await simulator.limit(rpm=5, window=0.3)
    async with simulator.client() as client:
        began, refused = time.monotonic(), 0
        while (await simulator.stats())["accepted"] < 15:
            try:
                await ask(client, "again")
            except openai.RateLimitError as error:
                refused += 1
                await asyncio.sleep(int(error.response.headers["retry-after-ms"]) / 1000)
    stats = await simulator.stats()
    assert time.monotonic() - began >= 0.6
    assert (stats["max_requests_in_window"], stats["rejected"]) == (5, refused)


async def test_only_so_many_run_at_once(simulator: Simulator) -> None:
    await simulator.limit(concurrency=3)
    await simulator.script({"do": {"stall": 0.3}})
    async with simulator.client() as client:
        replies = await asyncio.gather(
            *(ask(client, "now") for _ in range(8)), return_exceptions=True
        )
    stats = await simulator.stats()
    assert sum(isinstance(reply, openai.RateLimitError) for reply in replies) == 5
    assert (stats["max_in_flight"], stats["in_flight"]) == (3, 0)


async def test_new_limits_count_what_was_admitted_before(simulator: Simulator) -> None:
    await simulator.ask()
    await simulator.limit(rpm=1)
    with pytest.raises(openai.RateLimitError):
        await simulator.ask()
