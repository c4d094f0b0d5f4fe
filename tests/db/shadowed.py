"""Each statement of a job's life in its transaction, and its shadow in the model."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import workers
from shared.db.accept import accept
from shared.db.budgets import read_version
from shared.db.cancel import cancel, expire_overdue, wake_scheduled
from shared.db.give_back import give_back, give_back_unstarted
from shared.db.leave import leave
from shared.db.release import Permit, release
from shared.db.start import StartedAttempt, start, started_before
from shared.domain.attempt import OPEN_ATTEMPTS
from shared.domain.clock import SystemClock
from shared.domain.ids import IdKind, new_id
from shared.domain.job import FINAL_STATES, JobState
from tests.db.books import check_books, in_transaction
from tests.db.model import Model, ModelJob, ModelWorker
from tests.db.snapshot import Snapshot
from tests.db.verdicts import VERDICTS
from tests.life import HOLD, ROUTE, TENANT, Life, answered, new_job

T = TypeVar("T")

LEASE: Final = 30.0
CAPACITY: Final = 9
EMPTY: Final = "TRUNCATE jobs, attempts, workers, idempotency_keys, ledger, events CASCADE"


MAY_BECOME_EXACT = ("cost_nano", "cost_flagged")


class Shadowed:
    """Every method asserts that Postgres answers as the model does."""

    def __init__(self, life: Life, runner: asyncio.Runner) -> None:
        self.life = life
        self.runner = runner
        self.model = Model()
        self.flown: dict[str, StartedAttempt] = {}
        self.before = Snapshot()
        self.sql(EMPTY)

    def run(self, step: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        """One statement of the house in a transaction of its own."""

        async def with_connection(connection: AsyncConnection) -> T:
            return await step(connection, *args, **options)

        return self.runner.run(in_transaction(self.life, with_connection))

    def sql(self, statement: str, **values: Any) -> None:
        """A statement of the test's own: time passes, or everything is forgotten."""

        async def execute(connection: AsyncConnection) -> None:
            await connection.execute(text(statement), values)

        self.run(execute)

    def hire(self, worker_id: str) -> str:
        row = workers.WorkerRow(
            id=worker_id, host="here", pid=1, queues=("openai", "isolated"), capacity=CAPACITY
        )
        self.run(workers.register, row, LEASE)
        self.model.workers[worker_id] = ModelWorker()
        return worker_id

    def submit(self, key: str | None, body: bytes, *, later: bool) -> str:
        """The job's id: a new one, or an earlier one's."""
        run_at = SystemClock().now() + timedelta(hours=1) if later else None
        job = new_job(idempotency_key=key, body_hash=body, run_at=run_at)
        [accepted] = self.run(accept, [job])
        expected = self.model.accept(job.id, key, body, later=later)
        assert (accepted.job_id, accepted.same_body) == expected
        assert accepted.replayed == (accepted.job_id != job.id)
        return accepted.job_id

    def release(self, job_ids: Collection[str], *, isolated: bool) -> list[str]:
        """The attempts that were minted."""
        permits = [
            Permit(
                job_id=job_id,
                attempt_id=new_id(IdKind.ATTEMPT),
                deployment="openai/gpt-4.1-mini",
                queue="isolated" if isolated else "openai",
                permit_tokens=15,
                hold_nano=HOLD,
            )
            for job_id in sorted(job_ids)
        ]
        attempt_of = {permit.job_id: permit.attempt_id for permit in permits}
        version = self.run(read_version)
        minted = self.run(release, permits, budgets_version=version)
        assert minted == self.model.release(attempt_of, isolated=isolated)
        return sorted(minted)

    def start(self, chosen: Sequence[str], worker_id: str) -> None:
        before = {attempt.id for attempt in self.model.sent_by(worker_id)} & set(chosen)
        started = self.run(start, chosen, worker_id)
        expected = self.model.start(set(chosen), worker_id)
        assert sorted(attempt.attempt_id for attempt in started) == sorted(expected)
        read_back = self.run(started_before, chosen, worker_id)
        assert {attempt.attempt_id for attempt in read_back} == before | expected
        self.flown |= {attempt.attempt_id: attempt for attempt in started}

    def finish(self, chosen: Sequence[str], verdicts: Sequence[str]) -> None:
        """Report on those of them that ever flew, in one batch."""
        reports = [
            answered(self.flown[attempt_id], **VERDICTS[verdict])
            for attempt_id, verdict in zip(chosen, verdicts, strict=False)
            if attempt_id in self.flown
        ]
        left = self.run(leave, reports)
        assert {(row.attempt_id, row.moved_to) for row in left} == self.model.leave(reports)

    def give_back(self, chosen: Sequence[str]) -> None:
        given = self.run(give_back, chosen)
        assert {back.attempt_id for back in given} == self.model.give_back(chosen)

    def cancel(self, job_id: str) -> None:
        assert self.run(cancel, "ten_b", job_id) == (None, []), "it is not that tenant's"
        state, given = self.run(cancel, TENANT, job_id)
        assert (state, {back.attempt_id for back in given}) == self.model.cancel(job_id)

    def deadline_passes(self, job_id: str) -> None:
        self.sql("UPDATE jobs SET deadline = clock_timestamp() WHERE id = :id", id=job_id)
        self.model.jobs[job_id].overdue = True

    def time_comes(self, job_id: str) -> None:
        self.sql("UPDATE jobs SET run_at = clock_timestamp() WHERE id = :id", id=job_id)
        self.model.jobs[job_id].due = True

    def wake(self) -> None:
        assert self.run(wake_scheduled) == ({ROUTE} if self.model.wake() else set())

    def expire(self) -> None:
        given = self.run(expire_overdue)
        assert {back.attempt_id for back in given} == self.model.expire()

    def give_back_unstarted(self) -> None:
        given = self.run(give_back_unstarted, older_than_seconds=0)
        assert {back.attempt_id for back in given} == self.model.give_back(self.model.attempts)

    def lose_the_silent(self) -> None:
        assert set(self.run(workers.lose_silent, 0.0)) == self.model.lose_the_silent()

    def rescue(self) -> None:
        left = self.run(workers.rescue)
        assert {(row.attempt_id, row.moved_to) for row in left} == self.model.rescue()

    def fall_silent(self, worker_id: str) -> None:
        self.sql("UPDATE workers SET lease_until = clock_timestamp() WHERE id = :id", id=worker_id)
        self.model.workers[worker_id].silent = True

    def beat(self, worker_id: str) -> None:
        to_stop = self.run(workers.beat, worker_id, LEASE, CAPACITY)
        assert (None if to_stop is None else set(to_stop)) == self.model.beat(worker_id)

    def stop_in_order(self, worker_id: str) -> None:
        self.run(workers.stop, worker_id)
        self.model.stop(worker_id)

    def crash(self, worker_id: str) -> None:
        """Silent, lost and rescued in one go, as it is when nothing else happens."""
        self.fall_silent(worker_id)
        self.lose_the_silent()
        self.rescue()

    def go_on(self, job: ModelJob, verdict: str, *, isolated: bool) -> None:
        """The next step of that job's life; another job after its end."""
        if job.state in FINAL_STATES:
            self.submit(None, b"this", later=False)
        elif job.state == JobState.SCHEDULED:
            self.time_comes(job.id)
            self.wake()
        elif job.open_attempt is None:
            self.release([job.id], isolated=isolated)
        elif job.state == JobState.QUEUED:
            living = self.model.living() or [self.hire(new_id(IdKind.WORKER))]
            self.start([job.open_attempt], living[0])
        else:
            self.finish([job.open_attempt], [verdict])

    def flies(self, job: ModelJob) -> str | None:
        """The worker that runs it."""
        return self.model.attempts[job.open_attempt].worker_id if job.open_attempt else None

    def compare(self) -> Snapshot:
        """What Postgres holds is what the model holds; the promises are kept, too."""
        now = self.run(Snapshot.read)
        jobs = sorted(self.model.jobs.values(), key=lambda job: job.id)
        assert [tuple(row[:13]) for row in now.jobs] == [
            (
                job.id, job.state, job.epoch, job.open_attempt, job.tries, job.tried,
                job.crashes, job.isolated_crashes, job.isolated, job.stopping,
                job.cost_nano, job.cost_flagged, job.version,
            )
            for job in jobs
        ]  # fmt: skip
        assert {tuple(row[:6]) for row in now.attempts} == {
            (a.id, a.job_id, a.epoch, a.state, a.worker_id, a.cost_nano)
            for a in self.model.attempts.values()
        }
        assert now.due == self.model.free(), "what the dispatcher sees is what is free"
        assert now.routes == {ROUTE} or not now.due
        self._promises_are_kept(now)
        self.before = now
        return now

    def _promises_are_kept(self, now: Snapshot) -> None:
        """Promises that need no model: against the moment before, and within this one."""
        jobs = {row.id: row for row in now.jobs}
        for before in self.before.jobs:
            assert jobs[before.id].epoch >= before.epoch, "an epoch never falls"
            if before.state in FINAL_STATES:
                # May become exact, late.
                cost = {name: getattr(jobs[before.id], name) for name in MAY_BECOME_EXACT}
                stays = {**before._asdict(), **cost} == jobs[before.id]._asdict()
                assert stays, "what is final stays as it is"
        open_ones = [row for row in now.attempts if row.state in OPEN_ATTEMPTS]
        assert len({row.job_id for row in open_ones}) == len(open_ones), "one open at most"
        assert not [row.id for row in now.attempts if row.held and row not in open_ones]
        costs = sum(row.cost_nano or 0 for row in now.attempts)
        assert costs == sum(row.spent for row in now.attempts)

    def audit(self) -> None:
        """The promises as SQL, over all rows."""
        self.runner.run(check_books(self.life))
