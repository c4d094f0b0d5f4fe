"""Each provider's own rules: short windows, the day, growth, failed calls, what was written."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from simulator.gate import Gate, PacificDay
from simulator.limits import Limits
from tests.simulator.process import MODEL, PLAIN, Simulator, running_simulator

ASKED = [{"role": "user", "content": "Why tea?"}]
KEYS = {
    "authorization": "Bearer none",
    "anthropic-version": "2023-06-01",
    "x-goog-api-key": "none",
}


class Clock:
    """A wall clock that a test sets."""

    def __init__(self, text: str) -> None:
        self.now = datetime.fromisoformat(text)

    def __call__(self) -> datetime:
        return self.now


def gate_of(**limits: Any) -> Gate:
    return Gate(Limits(**limits))


def test_a_short_window_has_its_part_of_the_requests() -> None:
    gate = gate_of(rpm=120, short_windows=(1.0, 10.0))
    at_once = [gate.admit(0.0, 5, 0) for _ in range(3)]
    assert at_once[:2] == [None, None]
    assert at_once[2] is not None
    assert (at_once[2].what, at_once[2].limit, at_once[2].retry_after) == ("requests", 2, 1.0)
    passed = sum(gate.admit(1 + tick / 8, 5, 0) is None for tick in range(72))
    assert passed == 18


def test_the_smallest_part_is_one_request() -> None:
    gate = gate_of(rpm=6, short_windows=(1.0,))
    assert gate.admit(0.0, 0, 0) is None
    assert gate.admit(0.5, 0, 0) is not None
    assert gate.admit(1.0, 0, 0) is None


def test_requests_of_a_second_are_a_limit_of_their_own() -> None:
    gate = gate_of(rps=3, tpm=100)
    assert [gate.admit(0.0, 1, 0) for _ in range(3)] == [None] * 3
    refusal = gate.admit(0.25, 1, 0)
    assert refusal is not None
    assert (refusal.what, refusal.retry_after) == ("requests_per_second", 0.75)


def test_googles_day_ends_at_midnight_in_california_in_winter_and_in_summer() -> None:
    for start, midnight in (
        ("2026-01-10T23:00:00+00:00", "2026-01-11T08:00:00+00:00"),
        ("2026-07-10T23:00:00+00:00", "2026-07-11T07:00:00+00:00"),
        ("2026-03-08T08:30:00+00:00", "2026-03-09T07:00:00+00:00"),
    ):
        clock = Clock(start)
        gate = Gate(Limits(rpd=2), PacificDay(clock))
        assert [gate.admit(0.0, 1, 0) for _ in range(2)] == [None, None]
        refusal = gate.admit(0.0, 1, 0)
        assert refusal is not None
        assert refusal.what == "requests_per_day"
        assert clock.now + timedelta(seconds=refusal.retry_after) == datetime.fromisoformat(
            midnight
        ).astimezone(UTC)
        clock.now = datetime.fromisoformat(midnight) - timedelta(seconds=1)
        assert gate.admit(0.0, 1, 0) is not None
        clock.now = datetime.fromisoformat(midnight)
        assert gate.admit(0.0, 1, 0) is None


def test_elsewhere_a_day_is_the_last_24_hours() -> None:
    gate = gate_of(rpd=1)
    assert gate.admit(5.0, 1, 0) is None
    refusal = gate.admit(10.0, 1, 0)
    assert refusal is not None
    assert (refusal.what, refusal.retry_after) == ("requests_per_day", 86_395.0)
    assert gate.admit(86_405.0, 1, 0) is None


def test_use_may_grow_by_a_half_at_a_time_and_starts_again_after_a_pause() -> None:
    gate = gate_of(ramp=100, ramp_seconds=10.0, window=1.0)

    def most_at_once(now: float) -> int:
        return sum(gate.admit(now, 10, 0) is None for _ in range(100)) * 10

    assert [most_at_once(at) for at in (0.0, 5.0, 10.0, 20.0)] == [100, 100, 150, 220]
    refusal = gate.admit(20.5, 10, 0)
    assert refusal is not None
    assert (refusal.what, refusal.limit, refusal.retry_after) == ("ramp", 225, 0.5)
    assert most_at_once(45.0) == 100


def test_what_is_refused_counts_where_failed_calls_do_and_its_wait_is_enough() -> None:
    gate = gate_of(rpm=2, window=4.0, failed_count=True)
    assert [gate.admit(0.0, 1, 0), gate.admit(1.0, 1, 0)] == [None, None]
    refusal = gate.admit(2.0, 1, 0)
    assert refusal is not None
    assert refusal.retry_after == 3.0
    gate.fail(3.0)
    assert gate.admit(5.0, 1, 0) is not None
    assert gate.arrivals.most_requests == 2
    kind = gate_of(rpm=1, window=4.0)
    kind.fail(0.0)
    assert kind.admit(0.0, 1, 0) is None


def test_the_limit_that_must_be_waited_for_longest_is_told() -> None:
    gate = gate_of(rpm=1, rpd=1, rps=1, window=4.0)
    assert gate.admit(0.0, 1, 0) is None
    refusal = gate.admit(0.5, 1, 0)
    assert refusal is not None
    assert refusal.what == "requests_per_day"


def test_what_was_written_is_known_only_afterwards_and_then_counts() -> None:
    gate = gate_of(output_tpm=100, window=4.0)
    assert [gate.admit(0.0, 1, 0) for _ in range(3)] == [None] * 3
    gate.wrote(1.0, 60)
    assert gate.admit(1.0, 1, 0) is None
    gate.wrote(2.0, 60)
    refusal = gate.admit(2.0, 1, 0)
    assert refusal is not None
    assert (refusal.what, refusal.used, refusal.retry_after) == ("output_tokens", 120, 3.0)
    assert gate.admit(5.0, 1, 0) is None


async def test_openai_tells_who_grows_too_fast_to_slow_down(simulator: Simulator) -> None:
    await simulator.limit(ramp=1)
    with pytest.raises(openai.InternalServerError) as caught:
        await simulator.ask()
    assert (caught.value.status_code, caught.value.code) == (503, "slow_down")
    assert int(caught.value.response.headers["retry-after"]) == 60


async def refused(simulator: Simulator, path: str, body: Any) -> httpx2.Response:
    """The refusal of a plain call with every wire's key."""
    async with httpx2.AsyncClient(**PLAIN) as bare:
        return await bare.post(f"{simulator.url}{path}", json=body, headers=KEYS)


async def test_anthropic_tells_who_grows_too_fast_by_a_code(simulator: Simulator) -> None:
    await simulator.limit(ramp=1)
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": ASKED}
    reply = await refused(simulator, "/anthropic/v1/messages", body)
    assert reply.status_code == 429
    assert reply.json()["error"]["details"] == {"error_code": "ramp_limit_exceeded"}
    assert reply.headers["retry-after"] == "60"


async def test_gemini_tells_the_quota_its_value_and_the_wait_till_its_midnight(
    simulator: Simulator,
) -> None:
    await simulator.limit(rpd=1)
    path = "/gemini/v1beta/models/gemini-2.5-flash:generateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": "Why tea?"}]}]}
    assert (await refused(simulator, path, body)).status_code == 200
    reply = await refused(simulator, path, body)
    failure, retry = reply.json()["error"]["details"]
    (violation,) = failure["violations"]
    assert "PerDay" in violation["quotaId"]
    assert violation["quotaValue"] == "1"
    assert violation["quotaDimensions"]["model"] == "gemini-2.5-flash"
    assert 0 < float(retry["retryDelay"].removesuffix("s")) <= 25 * 3600
    assert "retry-after" not in reply.headers


async def test_azure_tells_the_wait_to_the_millisecond(simulator: Simulator) -> None:
    await simulator.limit(rpm=60, short_windows=[1])
    path, body = "/azure/openai/v1/chat/completions", {"model": MODEL, "messages": ASKED}
    assert (await refused(simulator, path, body)).status_code == 200
    reply = await refused(simulator, path, body)
    assert reply.status_code == 429
    assert 0 < int(reply.headers["retry-after-ms"]) <= 1000
    assert reply.headers["retry-after"] == "1"


async def test_a_call_that_is_wrong_counts_and_a_wrong_key_does_not(simulator: Simulator) -> None:
    await simulator.limit(rpm=1, failed_count=True)
    with pytest.raises(openai.NotFoundError):
        await simulator.ask(model="acme")
    with pytest.raises(openai.RateLimitError):
        await simulator.ask()
    await simulator.post("reset", {})
    async with httpx2.AsyncClient(**PLAIN) as bare:
        reply = await bare.post(f"{simulator.url}/v1/chat/completions", json={})
    assert reply.status_code == 401
    assert (await simulator.ask()).choices


async def test_the_ledger_tells_when_a_call_came_and_what_it_counted(simulator: Simulator) -> None:
    await simulator.ask(max_completion_tokens=30)
    line = simulator.ledger()[-1]
    assert line.arrived <= line.at
    assert line.charge == line.prompt_tokens + 30


async def test_single_accounts_have_limits_of_their_own_from_the_start(tmp_path: Path) -> None:
    own = "azure:rpm=1,short_windows=1+10"
    with running_simulator(tmp_path, rpm=7, account=own) as simulator:
        limits = await simulator.post("limits", {"provider": "azure"})
        others = await simulator.post("limits", {"provider": "openai"})
        assert (await simulator.ask(model=MODEL)).choices
    assert (limits["rpm"], limits["short_windows"], others["rpm"]) == (1, [1.0, 10.0], 7)
