"""The quota is used to its end and never exceeded, whichever limit binds."""

import sys
from statistics import fmean, median

import pytest

from tests.quota.arrivals import arrivals, share, steady_windows, submit_in_turn
from tests.quota.limits import Limits, limited_mill, send_without_meter

WINDOWS = 10
WORKERS = 2
SLOTS = 50
"""Of each worker: more than any of these quotas needs."""
REQUESTS, TOKENS = 400, 12_000
SMALL, MIDDLE, LARGE = 20, 30, 40
"""Tokens of a job; a window of MIDDLE ones takes all requests and all tokens."""


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        pytest.param(Limits(requests=REQUESTS), [MIDDLE], id="requests bind"),
        pytest.param(Limits(tokens=TOKENS), [MIDDLE], id="tokens bind"),
        pytest.param(Limits(requests=REQUESTS, tokens=TOKENS), [SMALL, LARGE], id="both bind"),
    ],
)
async def test_95_percent_of_a_strict_quota_is_used_and_nothing_rejected(
    database_url: str, redis_url: str, limits: Limits, sizes: list[int]
) -> None:
    async with limited_mill(database_url, redis_url, limits) as mill:
        rejected = await send_without_meter(mill, number=REQUESTS * 5 // 4, at_once=WORKERS * SLOTS)
        assert rejected > 0, "the limits do not bind at this concurrency"
        for _ in range(WORKERS):
            await mill.start_worker(slots=SLOTS)
        accepted = await submit_in_turn(mill, WINDOWS * REQUESTS, sizes)
        assert (await mill.all_final(within=120))["succeeded"] == len(accepted)
        windows = steady_windows(await arrivals(mill), limits.window)
        shares = [round(share(window, limits), 4) for window in windows]
        sys.stdout.write(f"without a meter {rejected} rejected; shares of windows {shares}\n")
        assert len(shares) >= WINDOWS - 2
        # The median: a neighbour on the same cores may stall all of us for a window or two.
        assert median(shares) >= 0.95
        assert fmean(shares) >= 0.90
        await mill.check(accepted)


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
