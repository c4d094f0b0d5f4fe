"""The first of two deployments fails in many ways: who answers, how late, and how it comes back."""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Any, Final

from sqlalchemy import text

from bench.figures import Demand, Part
from bench.quota.matrix import SLOTS
from bench.quota.scale import Scale
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from shared.domain.job import Lane
from tests.mill import MODEL
from tests.quota.rules import Rule, enforce, overlay

RATE: Final = 10
"""Jobs a second."""
PRIMARY: Final = Rule(account="openai", model=MODEL)
FALLBACK: Final = Rule(account="azure", model=MODEL)
SCALED: Final = {
    "PROMPTMILL_BREAKER__SHORTEST": "1",
    "PROMPTMILL_BREAKER__LONGEST": "3",
    "PROMPTMILL_BREAKER__WINDOW": "6",
    "PROMPTMILL_BREAKER__PROBE": "3",
    "PROMPTMILL_WORKER__CALL_TIMEOUT": "2",
}
"""Seconds, a tenth or less of production's: an outage of seconds then has several probes."""
USED_UP: Final = {"status": 429, "type": "insufficient_quota", "code": "insufficient_quota"}
TROUBLES: Final[Mapping[str, dict[str, Any]]] = {
    "500s": {"status": 500},
    "hangs": {"hang": True},
    "429, Retry-After 2": {"status": 429, "retry_after": 2},
    "429 without": {"status": 429},
    "quota exhausted": USED_UP,
}
COMES_BACK: Final = frozenset(TROUBLES) - {"quota exhausted"}
"""A credential that has no money left is not tried again by itself."""
RECOVERY: Final = 3
"""Times as long as the outage."""
LEARNING: Final = 2.5
"""Seconds of an outage that may pass before nobody but a probe calls; hangs take the timeout."""
STAMPEDE: Final = 2.0
"""Times the steady rate that the first may be called in any second when it is back."""
EVERY: Final = text("""
SELECT jobs.id, extract(epoch FROM jobs.created_at)::float8 AS created,
       extract(epoch FROM jobs.finished_at)::float8 AS finished, jobs.state AS state,
       attempts.deployment, attempts.state AS ended,
       extract(epoch FROM attempts.sent_at)::float8 AS sent
FROM jobs LEFT JOIN attempts ON attempts.job_id = jobs.id ORDER BY attempts.sent_at
""")


@dataclass(frozen=True, slots=True)
class Outage:
    """What was seen of one trouble; times are Unix seconds."""

    began: float
    ended: float
    rows: Sequence[Any]

    @property
    def lost(self) -> int:
        """Jobs without an answer."""
        return len({row.id for row in self.rows if row.state != "succeeded"})

    @property
    def added(self) -> tuple[float, float]:
        """Seconds that jobs of the outage took longer than those before it: median and p95."""
        times = {row.id: (row.created, row.finished - row.created) for row in self.rows}
        calm = median(took for created, took in times.values() if created < self.began)
        during = sorted(
            took for created, took in times.values() if self.began <= created < self.ended
        )
        return median(during) - calm, during[math.ceil(len(during) * 0.95) - 1] - calm

    @property
    def probes(self) -> int:
        """Calls of the first while everybody should know that it is away."""
        known = self.began + LEARNING
        return sum(known <= row.sent < self.ended for row in self._of_primary())

    @property
    def back_after(self) -> float:
        """Seconds from the outage's end to the first answer of the first; infinite if none came."""
        answered = (row.sent for row in self._of_primary() if row.ended == "answered")
        return min((sent for sent in answered if sent >= self.ended), default=math.inf) - self.ended

    @property
    def most_at_once(self) -> float:
        """The most calls of the first in any one second after the outage, times the steady rate."""
        seconds = Counter(int(row.sent) for row in self._of_primary() if row.sent >= self.ended)
        return max(seconds.values(), default=0) / RATE

    def _of_primary(self) -> list[Any]:
        own = f"{PRIMARY.stand_in}/"
        return [row for row in self.rows if row.sent and row.deployment.startswith(own)]


async def outages(servers: Servers, scale: Scale) -> Part:
    """Each trouble in a mill of its own."""
    found = Part(
        f"The first deployment is away for {scale.outage_seconds:g} s of {RATE} jobs/s;"
        " breaker and timeout scaled",
        ["trouble", "lost", "added, s", "p95, s", "probes", "back after, s", "rush, x"],
    )
    for name in list(TROUBLES)[: scale.troubles]:
        seen = await _trouble(servers, TROUBLES[name], scale)
        added, worst = seen.added
        back = f"{seen.back_after:.1f}" if name in COMES_BACK else "-"
        times, rush = (f"{added:.2f}", f"{worst:.2f}"), f"{seen.most_at_once:.1f}"
        found.rows.append([name, seen.lost, *times, seen.probes, back, rush])
        _judge(found, name, seen, scale)
    return found


def _judge(found: Part, name: str, seen: Outage, scale: Scale) -> None:
    found.judge(f"lost {name}", seen.lost, Demand(what=f"jobs lost, {name}", bound=0))
    probes = Demand(what=f"probes, {name}", bound=math.ceil(scale.outage_seconds) + 2)
    found.judge(f"probes {name}", seen.probes, probes)
    if name in COMES_BACK:
        back = Demand(what=f"back after, {name}", bound=RECOVERY * scale.outage_seconds, unit=" s")
        found.judge(f"back {name}", seen.back_after, back)
        rush = Demand(what=f"rush when it is back, {name}", bound=STAMPEDE, unit=" x")
        found.judge(f"rush {name}", seen.most_at_once, rush)


async def _trouble(servers: Servers, fault: dict[str, Any], scale: Scale) -> Outage:
    rules = [PRIMARY, FALLBACK]
    async with stage(servers, overlay(rules)) as on:
        on.mill.environ.update(SCALED)
        await enforce(on.mill, rules)
        await on.start_worker(SLOTS)
        seconds = scale.outage_seconds
        await _trickle(on, seconds)
        await on.mill.script({"match": {"provider": PRIMARY.account}, "do": fault})
        began = await _now(on)
        await _trickle(on, seconds)
        await on.mill.script()
        ended = await _now(on)
        await _trickle(on, RECOVERY * seconds)
        await on.mill.all_final()
        on.retire(on.mill.workers)
        async with on.mill.database.transaction() as connection:
            rows = list(await connection.execute(EVERY))
    return Outage(began, ended, rows)


async def _now(on: Stage) -> float:
    """The database's clock: every time of a job is of it."""
    row = await on.mill.life.one("SELECT extract(epoch FROM clock_timestamp())::float8 AS at")
    return float(row.at)


async def _trickle(on: Stage, seconds: float) -> None:
    """A job at a time, at a steady rate; what a stall of this machine held up is not made up for.

    Made up for, it would be a rush of ours.
    """
    due = monotonic()
    for _ in range(round(seconds * RATE)):
        await asyncio.sleep(max(due - monotonic(), 0))
        due = max(due, monotonic() - 1 / RATE) + 1 / RATE
        await on.fill(1, Lane.INTERACTIVE)
    on.refuse_the_dead()
