"""Jobs at every provider while calls fail, clients leave and workers die: the books must agree.

`python -m tests.money.fault_run --jobs 300` prints what we booked, what the providers billed, and
their difference.
"""

import argparse
import asyncio
import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from cli.stack.servers import Servers
from shared.db.accept import NewJob
from shared.db.corrections import list_excess, list_flagged
from shared.db.migrate import migrate
from shared.db.rebuild import differences
from shared.domain.budget import AtLimit, Every, Payer, Scope
from tests.databases import TEMPLATE, own_database
from tests.invariants import flagged_attempts
from tests.life import TENANT
from tests.mill import eventually, seeded
from tests.money.paying import DEPLOYMENTS, Call, Payments, hold_of, paying_mill
from tests.money.replay import replay
from tests.money.report import Report

FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"status": 500},
    {"reset": "before"},
    {"reset": "after"},
    {"truncate": True},
    {"error_200": True},
    {"garbage": True},
    {"no_usage": True},
    {"hang": True},
)
FAULTS_OF_STREAMS: Final[tuple[dict[str, Any], ...]] = ({"cut": True}, {"stream_error": True})
STREAMED: Final = "word by word"
"""In the prompt of what is streamed."""
FAILING: Final = 0.5
"""The share of calls that something is to befall."""
KILLS: Final = (0.2, 0.5, 0.8)
"""Shares of the jobs that are over when a worker is killed."""
LEAVING: Final = 0.05
"""The share of clients that give up."""
OTHER: Final = "ten_b"
PARKED: Final = "all calls of ten_a"
DEAREST: Final = 400_000
"""Nano-USD; no call of a run may cost more, but those of jobs that may be searched for."""
LOOK: Final = 0.25
PATIENCE: Final = 300.0
"""Seconds beside those of the jobs: a busy machine starts workers slowly."""
PARKING: Final = """
SELECT cap_nano,
    (SELECT coalesce(sum(held_nano), 0)::bigint FROM budget_windows WHERE budget_id = :name)
        AS held_nano,
    (SELECT coalesce(sum(spent_nano), 0)::bigint FROM budget_windows WHERE budget_id = :name)
        AS spent_nano,
    EXISTS (SELECT FROM jobs WHERE tenant_id = :tenant_id AND state = 'queued') AS waiting
FROM budgets WHERE id = :name
"""
SEARCHES: Final = "perplexity/sonar"
"""It reads the pages that it finds: its worst case is a multiple of the others'."""


@dataclass(slots=True)
class FaultRun:
    """One run and the three who disturb it."""

    payments: Payments
    jobs: int
    dice: random.Random
    killed: int = 0
    left: int = 0
    bound: int = 0

    async def run(self) -> Report:
        """From the first submission to rest. Raises AssertionError where a promise is broken."""
        mill = self.payments.mill
        await mill.script(*self._faults())
        jobs = self._questions()
        await self._budgets()
        await self.payments.workers(2)
        for tenant_id in (TENANT, OTHER):
            await self.payments.accept(*(job for job in jobs if job.tenant_id == tenant_id))
        disturbing = asyncio.gather(self._kill(), self._leave(), self._raise_caps())
        try:
            await mill.all_final(within=PATIENCE + self.jobs / 5)
        finally:
            disturbing.cancel()
            with suppress(asyncio.CancelledError):
                await disturbing
        await self._exceed()
        return await self._report()

    def _faults(self) -> list[dict[str, Any]]:
        """Each is thrown after the others missed, so the chance grows from rule to rule."""
        rules: list[tuple[dict[str, str], dict[str, Any]]] = [({}, fault) for fault in FAULTS]
        rules += [({"contains": STREAMED}, fault) for fault in FAULTS_OF_STREAMS]
        each = FAILING / len(rules)
        return [
            {"match": match, "probability": each / (1 - place * each), "do": fault}
            for place, (match, fault) in enumerate(rules)
        ]

    async def _budgets(self) -> None:
        """One that is reached again and again, one whose windows turn, one that refuses."""
        make, plenty = self.payments.budget, 10**15
        await make(PARKED, Payer(TENANT, Scope.ALL), 5 * DEAREST)
        await make("minutes", Payer(None, Scope.ALL), plenty, every=Every.MINUTE)
        few = self.jobs // 40 * DEAREST
        await make("few", Payer(OTHER, Scope.BATCH, "few"), few, AtLimit.REJECT)
        await make("anthropic", Payer(None, Scope.PROVIDER, "anthropic"), plenty)
        await make("sonnets", Payer(TENANT, Scope.MODEL, "claude-sonnet-5-5"), plenty)

    def _questions(self) -> list[NewJob]:
        """Every second is streamed, every fourth in the batch of the other tenant."""
        jobs = []
        for number in range(self.jobs):
            candidates = [each for each in DEPLOYMENTS if each != SEARCHES or number % 10 == 0]
            self.dice.shuffle(candidates)
            stream = number % 2 == 0
            call = Call(f"question {number}{f' {STREAMED}' if stream else ''}", stream=stream)
            owner = {"tenant_id": OTHER, "batch": "few"} if number % 4 == 0 else {}
            jobs.append(call.job(*candidates, **owner))
        return jobs

    async def _kill(self) -> None:
        """Kill a worker whenever so much is done, and start another."""
        mill = self.payments.mill
        async with asyncio.TaskGroup() as followers:
            for share in KILLS:

                async def at_work(share: float = share) -> list[subprocess.Popen[bytes]]:
                    states = await mill.states()
                    waiting = sum(states[each] for each in ("queued", "scheduled", "running"))
                    if self.jobs - waiting < share * self.jobs:
                        return []
                    known = {row.pid for row in await mill.life.all("SELECT pid FROM workers")}
                    there = (each for each in mill.workers if each.pid in known)
                    return [worker for worker in there if worker.poll() is None]

                patience = PATIENCE + self.jobs / 5
                alive = await eventually("the run goes on", at_work, within=patience)
                victim = self.dice.choice(alive)
                victim.kill()
                await asyncio.to_thread(victim.wait)
                self.killed += 1
                # The next kill does not wait for it: the run might be over first.
                followers.create_task(self.payments.worker())
        # What was in flight in two crashes is a suspect.
        await mill.start_isolated()

    async def _leave(self) -> None:
        """Some of those that run are given up, a few at a time."""
        life = self.payments.mill.life
        while self.left < LEAVING * self.jobs:
            rows = await life.all(
                "SELECT id FROM jobs WHERE state = 'running' AND tenant_id = :tenant_id"
                " AND cancel_requested_at IS NULL ORDER BY random() LIMIT 3",
                tenant_id=TENANT,
            )
            for row in rows:
                await life.cancel(row.id)
            self.left += len(rows)
            await asyncio.sleep(LOOK)

    async def _raise_caps(self) -> None:
        """Whoever pays for the parking budget sees that nobody may go, and gives as much again."""
        seen, most = 0, 2 * hold_of(Call("question").job(SEARCHES), SEARCHES)
        while True:
            row = await self.payments.mill.life.one(PARKING, name=PARKED, tenant_id=TENANT)
            # Before the first call nothing is spent: the workers are on their way. Where there is
            # room for any call, too, a job waits for them.
            short = row.spent_nano and row.cap_nano - row.spent_nano < most
            seen = seen + 1 if row.waiting and short and not row.held_nano else 0
            if seen > 1:
                self.bound += 1
                await self.payments.raise_cap(PARKED, 2 * row.cap_nano)
            await asyncio.sleep(LOOK)

    async def _exceed(self) -> None:
        """A provider writes more than was asked of it: booked and listed, and nothing follows."""
        mill, payments = self.payments.mill, self.payments
        await mill.script()
        [first, second] = [
            Call(f"more than asked {number}").job("openai/gpt-4.1-mini", project="tight")
            for number in range(2)
        ]
        # What is held is counted by the row, what is asked stands in the request.
        first, second = (replace(job, max_tokens=1) for job in (first, second))
        cap = hold_of(first, "openai/gpt-4.1-mini")
        await payments.budget("tight", Payer(TENANT, Scope.PROJECT, "tight"), cap, AtLimit.REJECT)
        for job in (first, second):
            await payments.accept(job)
            await mill.all_final()
        refused = await mill.life.job(second.id)
        assert (refused.state, refused.error_kind) == ("failed", "budget")

    async def _report(self) -> Report:
        """Everything is at rest: what the books say, checked from outside."""
        payments, life = self.payments, self.payments.mill.life
        await payments.mill.check(payments.accepted, rejected=None)
        admissions = await payments.check_budgets(over={"tight"})
        beyond = [each for each in await replay(life, payments.raised) if not each.within]
        assert not beyond, beyond[:3]
        report = Report(
            jobs=len(payments.accepted),
            states=dict(await payments.mill.states()),
            admissions=admissions,
            bound=self.bound,
            killed=self.killed,
            left=self.left,
        )
        bills, flagged = payments.bills(), await flagged_attempts(life)
        for attempt in await payments.attempts_of(*payments.accepted):
            report.calls += 1
            report.asked.add(attempt.deployment)
            report.failed += attempt.state != "answered"
            bill = bills.get(attempt.id, 0)
            if attempt.id in flagged:
                report.unknown[attempt.id] = (attempt.cost_nano, bill)
                continue
            report.known += attempt.cost_nano
            report.billed += bill
            if attempt.cost_nano > attempt.hold_nano:
                report.excess[attempt.id] = attempt.cost_nano - attempt.hold_nano
        await self._check_lists(report)
        return report

    async def _check_lists(self, report: Report) -> None:
        """What `promptmill reconcile` tells is what was found from outside."""
        database, limit = self.payments.mill.database, report.calls + 1
        assert [each async for each in differences(database)] == []
        async with database.transaction() as connection:
            flagged = await list_flagged(connection, limit=limit)
            excess = await list_excess(connection, limit=limit)
        assert {row.id for row in flagged} == report.unknown.keys()
        assert {row.id: row.excess_nano for row in excess} == report.excess


async def fault_run(database_url: str, redis_url: str, jobs: int) -> Report:
    """So many jobs in a mill of their own."""
    dice = seeded()
    latency = {"latency-ms": 300, "latency-spread": 0.5, "seed": dice.randrange(1000)}
    async with paying_mill(database_url, redis_url, patience=4, **latency) as payments:
        return await FaultRun(payments, jobs, dice).run()


def main() -> int:
    """0 where the books agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=150, help="how many (150)")
    jobs = parser.parse_args().jobs
    with Servers.temporary() as servers:
        migrate(servers.create_database(TEMPLATE))
        with own_database(servers, "fault_run") as url:
            report = asyncio.run(fault_run(url, servers.redis_url, jobs))
    sys.stdout.write(f"{report}\n")
    return int(report.difference != 0)


if __name__ == "__main__":
    sys.exit(main())
