"""Tenants of weights 1 : 1 : 2 at a binding quota, and a person who comes in between."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from bench.figures import Demand, Part
from bench.quota.matrix import SLOTS, WORKERS
from bench.quota.scale import Scale
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from shared.domain.clock import SystemClock
from shared.domain.job import Lane
from tests.mill import MODEL, eventually
from tests.quota.arrivals import Arrival, arrivals
from tests.quota.rules import Rule, enforce, overlay
from tests.quota.tenants import set_weights

WEIGHTS: Final = {"ten_a": 1, "ten_b": 1, "ten_c": 2}
GREEDY: Final = "ten_a"
PERSON: Final = "ten_d"
RULE: Final = Rule(account="openai", model=MODEL, limits={"requests": 300})
MINUTE: Final = 6.0
"""Seconds that stand for a minute: two windows."""
OFF: Final = 3.0
"""Percent."""
WAIT: Final = 2.0
"""Seconds."""
WAITED: Final = (
    "SELECT extract(epoch FROM max(attempts.sent_at) - max(jobs.created_at))::float8 AS seconds"
    " FROM jobs LEFT JOIN attempts ON job_id = jobs.id WHERE jobs.tenant_id = :tenant_id"
)


async def fairness(servers: Servers, scale: Scale) -> Part:
    """One tenant has by far the most work; shares are of what arrives while all have some."""
    found = Part(
        f"Shares every {MINUTE:g} s; {GREEDY} has {scale.backlog:,} jobs queued",
        ["tenant", "weight", "least share, %", "most share, %", "off by at most, %"],
    )
    async with stage(servers, overlay([RULE])) as on:
        await enforce(on.mill, [RULE])
        await on.start_workers(WORKERS, SLOTS)
        await _queue(on, scale)
        all_queued = SystemClock().now().timestamp()
        await asyncio.sleep(scale.shares_seconds / 2)
        waited = await _person(on)
        await asyncio.sleep(scale.shares_seconds / 2)
        on.refuse_the_dead()
        on.retire(on.mill.workers)
        shared = _minutes(await arrivals(on.mill), all_queued + RULE.window)
        rejected = int((await on.mill.stats())["rejected"])
    for tenant_id, weight in WEIGHTS.items():
        parts = [each[tenant_id] / each.total() * 100 for each in shared]
        fair = weight / sum(WEIGHTS.values()) * 100
        off = max(abs(part / fair - 1) * 100 for part in parts)
        shown = [f"{pick(parts):.2f}" for pick in (min, max)]
        found.rows.append([tenant_id, weight, *shown, f"{off:.2f}"])
        demand = Demand(what=f"{tenant_id} off its weight, any minute", bound=OFF, unit=" %")
        found.judge(f"share {tenant_id}", off, demand)
    found.rows.append([f"{PERSON}: one job, sent after", "", "", "", f"{waited:.2f} s"])
    demand = Demand(what="wait of a person's job among them", bound=WAIT, unit=" s")
    found.judge("person", waited, demand)
    found.judge("refused shares", rejected, Demand(what="refused while tenants shared", bound=0))
    return found


async def _queue(on: Stage, scale: Scale) -> None:
    """The greedy one's backlog, then enough for the others until the end."""
    await set_weights(on.mill, {**WEIGHTS, PERSON: 1})
    windows = scale.shares_seconds / RULE.window + 2
    for tenant_id, weight in WEIGHTS.items():
        enough = round(windows * RULE.limits["requests"] * weight / sum(WEIGHTS.values()))
        number = scale.backlog if tenant_id == GREEDY else enough
        await on.fill(number, Lane.BULK, tenant_id)


async def _person(on: Stage) -> float:
    """Seconds until the one job of a newcomer is sent."""
    await on.fill(1, Lane.INTERACTIVE, PERSON)

    async def sent() -> float | None:
        row = await on.mill.life.one(WAITED, tenant_id=PERSON)
        return None if row.seconds is None else float(row.seconds)

    return float(await eventually("the person's job is sent", sent))


def _minutes(found: Sequence[Arrival], begin: float) -> list[Counter[str]]:
    """Requests of each tenant in each whole minute since `begin`, Unix seconds."""
    whole = int((found[-1].at - begin) / MINUTE)
    counted = [Counter[str]() for _ in range(whole)]
    for arrival in found:
        number = int((arrival.at - begin) // MINUTE)
        if 0 <= number < whole and arrival.tenant_id in WEIGHTS:
            counted[number][arrival.tenant_id] += 1
    return counted
