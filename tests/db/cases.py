"""One job somewhere in its life, and every step that may happen to it."""

from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import workers
from shared.db.budgets import read_version
from shared.db.cancel import cancel, expire_overdue, wake_scheduled
from shared.db.give_back import give_back, give_back_unstarted
from shared.db.leave import leave
from shared.db.release import Permit, release
from shared.db.start import StartedAttempt, start
from shared.domain.attempt import AttemptState
from shared.domain.failure import FailureKind
from shared.domain.ids import IdKind, new_id
from shared.domain.job import FINAL_STATES, JobState, WaitReason
from tests.db.books import in_transaction
from tests.life import HOLD, TENANT, Life, answered, new_job

NUMBERS = count(1)


@dataclass
class Case:
    """One job somewhere in its life, and every step that may happen to it."""

    life: Life
    job_id: str
    worker_id: str
    attempt_id: str = ""
    started: StartedAttempt | None = None
    """The attempt that a worker flies, or believes it flies."""

    async def release(self, connection: AsyncConnection) -> list[str]:
        permit = Permit(
            job_id=self.job_id,
            attempt_id=new_id(IdKind.ATTEMPT),
            deployment="openai/gpt-4.1-mini",
            queue="openai",
            permit_tokens=15,
            hold_nano=HOLD,
        )
        version = await read_version(connection)
        return list(await release(connection, [permit], budgets_version=version))

    async def start(self, connection: AsyncConnection) -> list[StartedAttempt]:
        return await start(connection, [self.attempt_id], self.worker_id)

    async def start_elsewhere(self, connection: AsyncConnection) -> list[StartedAttempt]:
        return await start(connection, [self.attempt_id], "wrk_a")

    async def give_back(self, connection: AsyncConnection) -> Any:
        return await give_back(connection, [self.attempt_id])

    async def cancel(self, connection: AsyncConnection) -> Any:
        return await cancel(connection, TENANT, self.job_id)

    async def expire(self, connection: AsyncConnection) -> Any:
        return await expire_overdue(connection)

    async def wake(self, connection: AsyncConnection) -> Any:
        return await wake_scheduled(connection)

    async def finish(self, connection: AsyncConnection) -> Any:
        return await leave(connection, [answered(self.started)] if self.started else [])

    async def fail(self, connection: AsyncConnection) -> Any:
        if self.started is None:
            return []
        report = answered(
            self.started,
            attempt_state=AttemptState.FAILED,
            job_state=JobState.SCHEDULED,
            cost_nano=0,
            result=None,
            spends_try=True,
            wait_reason=WaitReason.BACKOFF,
            failure_kind=FailureKind.SERVER,
        )
        return await leave(connection, [report])

    async def rescue(self, connection: AsyncConnection) -> Any:
        await connection.execute(
            text("UPDATE workers SET state = 'lost' WHERE id = :id AND state = 'alive'"),
            {"id": self.worker_id},
        )
        return await workers.rescue(connection)


async def queued(life: Life) -> Case:
    job, worker_id = new_job(), f"wrk_{next(NUMBERS)}"
    await life.register(worker_id)
    await life.accept(job)
    return Case(life, job.id, worker_id)


async def released(life: Life) -> Case:
    case = await queued(life)
    [case.attempt_id] = await in_transaction(life, case.release)
    return case


async def running(life: Life) -> Case:
    case = await released(life)
    [case.started] = await in_transaction(life, case.start)
    return case


async def backing_off(life: Life) -> Case:
    case = await running(life)
    await in_transaction(life, case.fail)
    return case


async def rescued(life: Life) -> Case:
    """Queued again, while the silent worker still believes in its attempt."""
    case = await running(life)
    await in_transaction(life, case.rescue)
    return case


async def running_again(life: Life) -> Case:
    """A new worker flies a new attempt; reports still come from the old one."""
    case = await rescued(life)
    case.worker_id = f"wrk_{next(NUMBERS)}"
    await life.register(case.worker_id)
    [case.attempt_id] = await in_transaction(life, case.release)
    await in_transaction(life, case.start)
    return case


async def settle(case: Case) -> None:
    """Whatever is left of the job comes to an end by lawful steps; then all is at rest."""
    life = case.life
    for step in (case.finish, case.rescue, case.wake):
        await in_transaction(life, step)
    await life.one("UPDATE workers SET state = 'lost' WHERE id = 'wrk_a' RETURNING id")
    await in_transaction(life, workers.rescue)
    await in_transaction(life, partial(give_back_unstarted, older_than_seconds=0))
    await in_transaction(life, case.cancel)
    await life.one("DELETE FROM workers WHERE id = 'wrk_a' RETURNING id")
    await life.register("wrk_a")
    assert (await life.job(case.job_id)).state in FINAL_STATES
    assert (await life.money())[1] == 0
