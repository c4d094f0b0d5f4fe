"""How much of a strict quota two workers use, and how tenants share it."""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from time import monotonic
from typing import Final

from sqlalchemy import text

from bench.figures import Part
from bench.sizes import Size
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from tests.quota.arrivals import (
    Arrival,
    arrivals,
    jitter,
    of_size,
    share,
    steady_windows,
    submit_in_turn,
)
from tests.quota.limits import Limits, send_without_meter

WINDOW: Final = 60.0
MARGIN: Final = 0.005
"""The catalog's own."""
REQUESTS: Final = 1200
TOKENS: Final = 36_000
TOKENS_OF_A_JOB: Final = 30
WORKERS: Final = 2
SLOTS: Final = 200
STEP: Final = 1.0
"""Seconds between two sliding windows."""
QUOTAS: Final = {
    "quota_requests": Limits(requests=REQUESTS, window=WINDOW, margin=MARGIN),
    "quota_tokens": Limits(tokens=TOKENS, window=WINDOW, margin=MARGIN),
}
WEIGHTS: Final = {"ten_a": 1, "ten_b": 3, "ten_c": 1}
SIZES: Final = {"ten_a": 30, "ten_b": 50, "ten_c": 60}
"""Tokens of each tenant's jobs: shares are of tokens, not of jobs."""
SHARED: Final = Limits(tokens=30_000)


async def quota(servers: Servers, size: Size) -> Part:
    """Requests bind, then tokens; the simulator rejects what is a moment too early."""
    part = Part(
        f"A strict sliding window of {WINDOW:.0f} s on {WORKERS} workers, {size.quota_windows} min",
        ["binding", "steady windows", "least sliding window", "rejected", "jitter, ms"],
    )
    rejected = 0
    for key, limits in QUOTAS.items():
        async with stage(servers, limits.catalog) as on:
            found, refused = await _use_up(on, limits, size.quota_windows)
        rejected += refused
        used = [share(window, limits) * 100 for window in steady_windows(found, WINDOW)]
        told = " ".join(f"{each:.2f} %" for each in used)
        least = f"{_least_sliding(found, limits) * 100:.2f} %"
        part.rows.append([key.partition("_")[2], told, least, refused, jitter(found) * 1000])
        part.figures[key] = fmean(used)
    part.figures["rejected"] = rejected
    return part


async def shares(servers: Servers, size: Size) -> Part:
    """Tenants whose queues never run dry, against their weights."""
    async with stage(servers, SHARED.catalog) as on:
        await _start_strict(on, SHARED)
        await _set_weights(on)
        for tenant_id, tokens in SIZES.items():
            jobs = {"tenant_id": tenant_id, **of_size(tokens)}
            await on.mill.submit(size.shared_tokens * WEIGHTS[tenant_id] // tokens, **jobs)
        for _ in range(WORKERS):
            await on.start_worker(SLOTS)
        await on.mill.all_final(within=600)
        served = _served_while_all_wait(await arrivals(on.mill))
    part = Part("Tokens by tenant under contention", ["tenant", "weight", "share", "off by"])
    for tenant_id, weight in WEIGHTS.items():
        fair = weight / sum(WEIGHTS.values())
        got = served[tenant_id] / served.total()
        off = abs(got / fair - 1) * 100
        part.rows.append([tenant_id, weight, f"{got * 100:.2f} %", f"{off:.2f} %"])
        part.figures["shares"] = max(off, part.figures.get("shares", 0.0))
    return part


async def _use_up(on: Stage, limits: Limits, windows: int) -> tuple[list[Arrival], int]:
    """More work than fits, for so many windows and a little; arrivals and rejections."""
    await _start_strict(on, limits)
    for _ in range(WORKERS):
        await on.start_worker(SLOTS)
    began = monotonic()
    await submit_in_turn(on.mill, (windows + 1) * REQUESTS, [TOKENS_OF_A_JOB])
    while monotonic() - began < windows * WINDOW + 5:
        on.refuse_the_dead()
        await asyncio.sleep(STEP)
    on.retire(on.mill.workers)
    return await arrivals(on.mill), int((await on.mill.stats())["rejected"])


async def _start_strict(on: Stage, limits: Limits) -> None:
    await on.mill.start_simulator(**limits.simulator)
    # Its first count of tokens loads a vocabulary; that is no jitter of ours.
    await send_without_meter(on.mill, number=1, at_once=1)


def _least_sliding(found: Sequence[Arrival], limits: Limits) -> float:
    """The least used window of all that lie between the first one's end and the last arrival."""
    times = [arrival.at for arrival in found]
    shares_found = []
    begin = times[0] + limits.window
    while begin + limits.window <= times[-1]:
        first, last = (bisect_left(times, at) for at in (begin, begin + limits.window))
        shares_found.append(share(found[first:last], limits))
        begin += STEP
    return min(shares_found, default=0.0)


def _served_while_all_wait(found: Sequence[Arrival]) -> Counter[str]:
    """Tokens of each tenant until the first of them has nothing left."""
    last = {arrival.tenant_id: arrival.at for arrival in found}
    served: Counter[str] = Counter()
    for arrival in found:
        if arrival.at <= min(last.values()):
            served[arrival.tenant_id] += arrival.tokens
    return served


async def _set_weights(on: Stage) -> None:
    statement = text(
        "INSERT INTO tenants (id, name, weight) VALUES (:id, :id, :weight)"
        " ON CONFLICT (id) DO UPDATE SET weight = excluded.weight"
    )
    rows = [{"id": tenant_id, "weight": weight} for tenant_id, weight in WEIGHTS.items()]
    async with on.mill.database.transaction() as connection:
        await connection.execute(statement, rows)
