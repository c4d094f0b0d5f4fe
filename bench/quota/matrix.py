"""Every provider's rule under two workers: how much of the quota they use, and what is refused."""

import asyncio
from collections.abc import Sequence
from statistics import fmean
from time import monotonic
from typing import Final

from bench.figures import Demand, Part
from bench.quota.scale import Scale
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from tests.quota.arrivals import arrivals, jitter
from tests.quota.matrix import CALLS_BIND, OTHERWISE_BIND, REQUESTS_BIND, TOKENS_BIND
from tests.quota.naive import BURSTS, burst_of, naive_refusals
from tests.quota.rules import Rule, enforce, overlay
from tests.quota.used import shares

GROUPS: Final = (REQUESTS_BIND, TOKENS_BIND, CALLS_BIND, OTHERWISE_BIND)
WORKERS: Final = 2
SLOTS: Final = 200
STEP: Final = 0.5
"""Seconds between two looks at the processes."""
REAL_WINDOW: Final = 60.0
COLUMNS: Final = (
    "provider: what binds",
    "windows",
    "mean use, %",
    "least, %",
    "refused",
    "naive sender: refused",
    "jitter, ms",
)


async def matrix(servers: Servers, scale: Scale) -> Part:
    """All rules in windows that are short enough to see many of them."""
    words = f"{scale.windows} windows of {scale.window:g} s, {WORKERS} workers"
    found = Part(f"Use of a strict quota: {words}", COLUMNS)
    for group in GROUPS[-scale.groups :]:
        rules = [rule.stretched(scale.window, scale.pace) for rule in group]
        await _measure(servers, rules, scale.windows, found)
    return found


async def minutes(servers: Servers, scale: Scale) -> Part:
    """Windows as long as they really are, for OpenAI's and Anthropic's rules."""
    found = Part(f"Use of a strict quota: {scale.minutes} windows of 60 s", COLUMNS)
    if scale.minutes:
        chosen = [TOKENS_BIND[0], OTHERWISE_BIND[0]]
        rules = [rule.stretched(REAL_WINDOW) for rule in chosen]
        await _measure(servers, rules, scale.minutes, found)
    return found


async def _measure(servers: Servers, rules: Sequence[Rule], windows: int, found: Part) -> None:
    async with stage(servers, overlay(rules)) as on:
        await enforce(on.mill, rules, **{"output-tokens": "40-60"})
        naive = [await naive_refusals(on.mill, rule) for rule in rules]
        await on.start_workers(WORKERS, SLOTS)
        for rule in rules:
            await rule.submit(on.mill, (windows + 2) * rule.jobs)
        await _wait(on, (windows + 1) * rules[0].window + 2)
        on.retire(on.mill.workers)
        told = (await on.mill.stats())["providers"]
        late = jitter(await arrivals(on.mill)) * 1000
        lines = on.mill.ledger()
    for rule, unheeding in zip(rules, naive, strict=True):
        used = shares(rule, lines)[:windows]
        refused = told[rule.account]["rejected"]
        _judge(found, rule, used, (refused, unheeding, late))


async def _wait(on: Stage, seconds: float) -> None:
    ends = monotonic() + seconds
    while monotonic() < ends:
        on.refuse_the_dead()
        await asyncio.sleep(STEP)


def _judge(found: Part, rule: Rule, used: Sequence[float], others: tuple[int, int, float]) -> None:
    """A row of the table, and what must be so; others: refused, those of the naive one, jitter."""
    refused, naive, late = others
    name = f"{rule.account}: {' and '.join(rule.limits)}"
    mean, least = (pick(used) * 100 if used else 0.0 for pick in (fmean, min))
    tried = BURSTS * burst_of(rule)
    shown = f"{mean:.2f}", f"{least:.2f}"
    found.rows.append([name, len(used), *shown, refused, f"{naive} of {tried}", late])
    name = f"{name}, {rule.window:g} s"
    use = Demand(what=f"use, {name}", bound=rule.demanded * 100, at_least=True, unit=" %")
    found.judge(f"use {name}", mean, use)
    found.judge(f"refused {name}", refused, Demand(what=f"refused, {name}", bound=0))
    demand = Demand(what=f"naive sender refused, {name}", bound=1, at_least=True)
    found.judge(f"naive {name}", naive, demand)
