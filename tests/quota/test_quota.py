"""The quota is used to its end and never exceeded, whichever limit binds."""

import sys
from collections.abc import Sequence
from statistics import fmean, median

import pytest

from cli.stack.servers import Servers
from tests.databases import own_database
from tests.quota.arrivals import arrivals, jitter, share, steady_windows, submit_in_turn
from tests.quota.limits import Limits, limited_mill, send_without_meter
from tests.quota.stillness import Measured, missed_on_a_still_machine

WINDOWS = 6
FORGIVEN = (0.21, 0.42)
"""Seconds of jitter: windows of 6 and 12 s, of which they are the part that the margin is."""
WORKERS = 2
SLOTS = 50
"""Of each worker: more than any of these quotas needs."""
REQUESTS, TOKENS = 400, 12_000
SMALL, MIDDLE, LARGE = 20, 30, 40
"""Tokens of a job; a window of MIDDLE ones takes all requests and all tokens."""


@pytest.mark.timeout(480)  # the second run's windows alone take more than a minute
@pytest.mark.parametrize(
    ("binding", "sizes"),
    [
        pytest.param({"requests": REQUESTS}, [MIDDLE], id="requests bind"),
        pytest.param({"tokens": TOKENS}, [MIDDLE], id="tokens bind"),
        pytest.param({"requests": REQUESTS, "tokens": TOKENS}, [SMALL, LARGE], id="both bind"),
    ],
)
async def test_95_percent_of_a_strict_quota_is_used_and_nothing_rejected(
    servers: Servers, redis_url: str, binding: dict[str, int], sizes: list[int]
) -> None:
    async def measure(forgiven: float) -> Measured:
        limits = Limits(**binding).forgiving(forgiven)
        with own_database(servers, f"quota_{forgiven:.2f}") as database_url:
            return await _use_up(database_url, redis_url, limits, sizes)

    assert await missed_on_a_still_machine(measure, FORGIVEN) == []


async def _use_up(database_url: str, redis_url: str, limits: Limits, sizes: list[int]) -> Measured:
    """Six windows' work on two workers, after a naive sender has shown that the limit is real."""
    async with limited_mill(database_url, redis_url, limits) as mill:
        jobs = limits.tokens // MIDDLE or limits.requests
        naive = await send_without_meter(mill, number=jobs * 5 // 4, at_once=WORKERS * SLOTS)
        assert naive > 0, "the limits do not bind at this concurrency"
        for _ in range(WORKERS):
            await mill.start_worker(slots=SLOTS)
        accepted = await submit_in_turn(mill, WINDOWS * jobs, sizes)
        assert (await mill.all_final(within=240))["succeeded"] == len(accepted)
        await mill.check(accepted, rejected=None)
        found = await arrivals(mill)
        windows = steady_windows(found, limits.window)
        shares = [round(share(window, limits), 4) for window in windows]
        sys.stdout.write(f"without a meter {naive} rejected; shares of windows {shares}\n")
        return Measured(_missed(shares, (await mill.stats())["rejected"]), jitter(found))


def _missed(shares: Sequence[float], rejected: int) -> list[str]:
    """What a run fell short of; of the median, as a neighbour may stall all of us for a window."""
    missed = [f"{rejected} rejected"] if rejected else []
    used = median(shares) >= 0.95 and fmean(shares) >= 0.90
    if len(shares) < WINDOWS - 2 or not used:
        missed.append(f"windows {shares}")
    return missed


async def test_calls_in_flight_reach_the_concurrency_limit_and_stay_there(
    database_url: str, redis_url: str
) -> None:
    limits = Limits(concurrency=20)
    async with limited_mill(database_url, redis_url, limits) as mill:
        for _ in range(WORKERS):
            await mill.start_worker(slots=SLOTS)
        accepted = await mill.submit(300)
        assert (await mill.all_final())["succeeded"] == len(accepted)
        assert (await mill.stats())["max_in_flight"] == limits.concurrency
        await mill.check(accepted)
