"""The steps of a job's life in words, each in a transaction of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from shared.db import workers
from shared.db.accept import Accepted, NewJob, accept
from shared.db.budgets import read_version
from shared.db.cancel import cancel
from shared.db.engine import Database
from shared.db.give_back import GivenBack
from shared.db.leave import Leaving, Left, leave
from shared.db.release import Permit, due_jobs, release
from shared.db.start import StartedAttempt, start
from shared.domain.attempt import AttemptState
from shared.domain.ids import IdKind, new_id
from shared.domain.job import JobState, Lane

ROUTE = "gpt-4.1-mini"
TENANT = "ten_a"
WORKER = "wrk_a"
HOLD = 1000
COST = 42


def new_job(**changes: Any) -> NewJob:
    """A small standard job of the test's tenant."""
    job = NewJob(
        id=new_id(IdKind.JOB),
        tenant_id=TENANT,
        key_id=None,
        route=ROUTE,
        lane=Lane.STANDARD,
        request='{"model": "gpt-4.1-mini", "messages": [], "max_tokens": 5}',
        metadata=None,
        batch=None,
        run_at=None,
        deadline_seconds=3600.0,
        max_tries=5,
        input_tokens=10,
        max_tokens=5,
        idempotency_key=None,
        body_hash=b"body",
    )
    return replace(job, **changes)


def answered(attempt: StartedAttempt, **changes: Any) -> Leaving:
    """A report of success for a started attempt."""
    report = Leaving(
        attempt_id=attempt.attempt_id,
        job_id=attempt.job_id,
        epoch=attempt.epoch,
        attempt_state=AttemptState.ANSWERED,
        job_state=JobState.SUCCEEDED,
        cost_nano=COST,
        result='{"content": "fine"}',
    )
    return replace(report, **changes)


@dataclass(frozen=True, slots=True)
class Life:
    """Each method is one step in one transaction."""

    database: Database

    async def accept(self, *jobs: NewJob) -> list[Accepted]:
        async with self.database.transaction() as connection:
            return await accept(connection, jobs)

    async def release(self, *, isolated: bool = False) -> list[str]:
        """Release everything that is due; the attempt ids."""
        async with self.database.transaction() as connection:
            due = await due_jobs(connection, ROUTE, 1000)
        permits = [
            Permit(
                job_id=job.id,
                attempt_id=new_id(IdKind.ATTEMPT),
                deployment="openai/gpt-4.1-mini",
                queue="isolated" if isolated else "openai",
                permit_tokens=job.tokens,
                hold_nano=HOLD,
            )
            for job in due
        ]
        async with self.database.transaction() as connection:
            version = await read_version(connection)
            minted = await release(connection, permits, budgets_version=version)
        return [permit.attempt_id for permit in permits if permit.attempt_id in minted]

    async def start(
        self, attempt_ids: Sequence[str], worker_id: str = WORKER
    ) -> list[StartedAttempt]:
        async with self.database.transaction() as connection:
            return await start(connection, attempt_ids, worker_id)

    async def leave(self, *reports: Leaving) -> list[Left]:
        async with self.database.transaction() as connection:
            return await leave(connection, reports)

    async def started(self, *jobs: NewJob) -> list[StartedAttempt]:
        """Accept, release and start these (or one) in one go."""
        await self.accept(*(jobs or (new_job(),)))
        return await self.start(await self.release())

    async def kill_worker(self, worker_id: str = WORKER) -> list[Left]:
        """The worker falls silent, is declared lost and its attempts are rescued."""
        async with self.database.transaction() as connection:
            await connection.execute(
                text("UPDATE workers SET state = 'lost' WHERE id = :id"), {"id": worker_id}
            )
            return await workers.rescue(connection)

    async def cancel(self, job_id: str) -> tuple[JobState | None, list[GivenBack]]:
        async with self.database.transaction() as connection:
            return await cancel(connection, TENANT, job_id)

    async def register(self, worker_id: str) -> None:
        async with self.database.transaction() as connection:
            row = workers.WorkerRow(
                id=worker_id, host="here", pid=1, queues=("openai",), capacity=100
            )
            await workers.register(connection, row, 30.0)

    async def one(self, statement: str, **values: Any) -> Any:
        """The only row of a query."""
        async with self.database.transaction() as connection:
            return (await connection.execute(text(statement), values)).one()

    async def all(self, statement: str, **values: Any) -> list[Any]:
        """Every row of a query."""
        async with self.database.transaction() as connection:
            return list(await connection.execute(text(statement), values))

    async def job(self, job_id: str) -> Any:
        return await self.one("SELECT * FROM jobs WHERE id = :id", id=job_id)

    async def attempt(self, attempt_id: str) -> Any:
        return await self.one("SELECT * FROM attempts WHERE id = :id", id=attempt_id)

    async def money(self) -> tuple[int, int]:
        """Spent and held, from the ledger alone."""
        row = await self.one(
            "SELECT coalesce(sum(spent_nano), 0)::bigint AS spent,"
            " coalesce(sum(held_nano), 0)::bigint AS held FROM ledger"
        )
        return row.spent, row.held
