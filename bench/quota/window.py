"""How much of a strict quota two workers use, and how tenants share it."""

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from statistics import fmean
from time import monotonic
from typing import Final

from bench.figures import Part
from bench.sizes import Size
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from tests.quota.arrivals import (
    Arrival,
    arrivals,
    jitter,
    share,
    steady_windows,
    submit_in_turn,
)
from tests.quota.limits import Limits, send_without_meter
from tests.quota.tenants import WEIGHTS, off_from_weights, set_weights, submit_for_each

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
        await set_weights(on.mill)
        tokens = {id_: size.shared_tokens * weight for id_, weight in WEIGHTS.items()}
        await submit_for_each(on.mill, tokens)
        await on.start_workers(WORKERS, SLOTS)
        await on.mill.all_final(within=600)
        found = off_from_weights(await arrivals(on.mill))
    part = Part("Tokens by tenant under contention", ["tenant", "weight", "share", "off by"])
    for tenant_id, (got, off) in found.items():
        part.rows.append([tenant_id, WEIGHTS[tenant_id], f"{got:.2%}", f"{off:.2%}"])
    part.figures["shares"] = max(off for _, off in found.values()) * 100
    return part


async def _use_up(on: Stage, limits: Limits, windows: int) -> tuple[list[Arrival], int]:
    """More work than fits, for so many windows and a little; arrivals and rejections."""
    await _start_strict(on, limits)
    await on.start_workers(WORKERS, SLOTS)
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
