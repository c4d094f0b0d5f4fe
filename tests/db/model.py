"""A model of jobs, attempts and workers: what each statement must have made of them, in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.db.leave import CRASHES_TO_ISOLATE, ISOLATED_CRASHES_TO_FAIL, Leaving
from shared.domain.attempt import AttemptState
from shared.domain.job import FINAL_STATES, JobState
from tests.life import HOLD

WAITING: Final = frozenset({JobState.SCHEDULED, JobState.QUEUED})
Left = tuple[str, JobState | None]
"""An attempt that was closed, and where its job went; None: nowhere."""


@dataclass
class ModelJob:
    """One job; what is compared with its row comes first."""

    id: str
    state: JobState
    epoch: int = 0
    open_attempt: str | None = None
    tries: int = 0
    tried: list[str] = field(default_factory=list)
    crashes: int = 0
    isolated_crashes: int = 0
    isolated: bool = False
    stopping: bool = False
    """Somebody asked its worker to stop it."""
    cost_nano: int = 0
    cost_flagged: bool = False
    version: int = 1
    overdue: bool = False
    due: bool = True
    """Its `run_at` has come."""

    def move(self, state: JobState) -> None:
        """To another state, with nothing open."""
        self.state, self.open_attempt = state, None
        self.version += 1


@dataclass
class ModelAttempt:
    """One attempt."""

    id: str
    job_id: str
    epoch: int
    isolated: bool
    state: AttemptState = AttemptState.PLANNED
    worker_id: str | None = None
    cost_nano: int | None = None
    doubted: bool = False
    """Nobody knows its bill."""


@dataclass
class ModelWorker:
    """One worker; a silent one is alive with a lease that has run out."""

    state: str = "alive"
    silent: bool = False


@dataclass
class Model:
    """The whole mill."""

    jobs: dict[str, ModelJob] = field(default_factory=dict)
    attempts: dict[str, ModelAttempt] = field(default_factory=dict)
    workers: dict[str, ModelWorker] = field(default_factory=dict)
    keys: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def accept(self, job_id: str, key: str | None, body: bytes, *, later: bool) -> tuple[str, bool]:
        """The id of the job, and whether that one was accepted with this very body."""
        if key in self.keys:
            known, first_body = self.keys[key]
            return known, first_body == body
        if key:
            self.keys[key] = job_id, body
        state = JobState.SCHEDULED if later else JobState.QUEUED
        self.jobs[job_id] = ModelJob(job_id, state, due=not later)
        return job_id, True

    def unfinished(self) -> list[str]:
        """The jobs that are not final."""
        return [job.id for job in self.jobs.values() if job.state not in FINAL_STATES]

    def planned(self) -> list[str]:
        """The attempts that nobody has started."""
        return [a.id for a in self.attempts.values() if a.state == AttemptState.PLANNED]

    def living(self) -> list[str]:
        """The workers that may start something."""
        return [each for each, worker in self.workers.items() if worker == ModelWorker()]

    def free(self) -> set[str]:
        """The jobs that may be released."""
        return {
            job.id
            for job in self.jobs.values()
            if job.state == JobState.QUEUED and not job.open_attempt and not job.overdue
        }

    def release(self, attempt_of: dict[str, str], *, isolated: bool) -> set[str]:
        """Attempt ids by job id; those that are minted."""
        minted = {job_id: attempt_of[job_id] for job_id in self.free() & attempt_of.keys()}
        for job_id, attempt_id in minted.items():
            job = self.jobs[job_id]
            job.epoch += 1
            job.open_attempt = attempt_id
            self.attempts[attempt_id] = ModelAttempt(attempt_id, job_id, job.epoch, isolated)
        return set(minted.values())

    def start(self, attempt_ids: Iterable[str], worker_id: str) -> set[str]:
        """Those that this worker may call now."""
        worker = self.workers[worker_id]
        attempts = [self.attempts[attempt_id] for attempt_id in attempt_ids]
        started = [
            attempt
            for attempt in attempts
            if attempt.state == AttemptState.PLANNED
            and not self.jobs[attempt.job_id].overdue
            and worker == ModelWorker()
        ]
        for attempt in started:
            attempt.state, attempt.worker_id = AttemptState.SENT, worker_id
            job = self.jobs[attempt.job_id]
            job.state = JobState.RUNNING
            job.version += 1
        return {attempt.id for attempt in started}

    def sent_by(self, *worker_ids: str) -> list[ModelAttempt]:
        """What these workers fly."""
        return [
            attempt
            for attempt in self.attempts.values()
            if attempt.state == AttemptState.SENT and attempt.worker_id in worker_ids
        ]

    def leave(self, reports: Sequence[Leaving]) -> set[Left]:
        """Those that changed anything."""
        return {left for report in reports for left in self._leave(report)}

    def lose_the_silent(self) -> set[str]:
        """The workers that were alive by name only."""
        lost = {
            worker_id
            for worker_id, worker in self.workers.items()
            if worker == ModelWorker("alive", silent=True)
        }
        for worker_id in lost:
            self.workers[worker_id].state = "lost"
        return lost

    def beat(self, worker_id: str) -> set[str] | None:
        """The jobs to stop; None where the lease was lost."""
        worker = self.workers[worker_id]
        if worker.state != "alive":
            return None
        worker.silent = False
        flying = {attempt.job_id for attempt in self.sent_by(worker_id)}
        return {job_id for job_id in flying if self.jobs[job_id].stopping}

    def stop(self, worker_id: str) -> None:
        if self.workers[worker_id].state == "alive":
            self.workers[worker_id].state = "stopped"

    def rescue(self) -> set[Left]:
        """What the dead flew is unknown, and its jobs queued again."""
        gone = [worker_id for worker_id in self.workers if self.workers[worker_id].state != "alive"]
        reports = [
            Leaving(
                attempt_id=attempt.id,
                job_id=attempt.job_id,
                epoch=attempt.epoch,
                attempt_state=AttemptState.UNKNOWN,
                job_state=JobState.QUEUED,
                crashed=True,
            )
            for attempt in self.sent_by(*gone)
        ]
        return self.leave(reports)

    def _leave(self, report: Leaving) -> list[Left]:
        attempt, job = self.attempts[report.attempt_id], self.jobs[report.job_id]
        late = attempt.state == AttemptState.UNKNOWN != report.attempt_state
        if attempt.state != AttemptState.SENT and not late:
            return []
        attempt.state = report.attempt_state
        charge = HOLD if report.cost_nano is None else report.cost_nano
        job.cost_nano += charge - (attempt.cost_nano or 0)
        attempt.cost_nano = charge
        attempt.doubted = report.cost_nano is None
        own = (each for each in self.attempts.values() if each.job_id == job.id)
        job.cost_flagged = any(each.doubted for each in own)
        if late:
            return [(attempt.id, None)]
        return [(attempt.id, self._land(job, attempt, report))]

    def _land(self, job: ModelJob, attempt: ModelAttempt, report: Leaving) -> JobState:
        """The job of an attempt that was in flight goes on."""
        job.tries += report.spends_try
        job.tried += [report.tried] if report.tried else []
        job.crashes += report.crashed
        job.isolated_crashes += report.crashed and attempt.isolated
        job.isolated |= report.crashed and job.crashes >= CRASHES_TO_ISOLATE
        job.due = job.due if report.job_state != JobState.SCHEDULED else not report.delay_seconds
        condemned = report.crashed and job.isolated_crashes >= ISOLATED_CRASHES_TO_FAIL
        stronger = {
            JobState.CANCELLED: job.stopping,
            JobState.EXPIRED: job.overdue,
            JobState.FAILED: condemned and attempt.isolated,
        }
        if report.job_state in WAITING:
            job.move(next((state for state in stronger if stronger[state]), report.job_state))
        else:
            job.move(report.job_state)
        return job.state

    def give_back(self, attempt_ids: Iterable[str]) -> set[str]:
        """Those that were still planned."""
        given = {
            attempt_id
            for attempt_id in attempt_ids
            if self.attempts[attempt_id].state == AttemptState.PLANNED
        }
        for attempt_id in given:
            attempt = self.attempts[attempt_id]
            attempt.state, attempt.cost_nano = AttemptState.RETURNED, 0
            self.jobs[attempt.job_id].open_attempt = None
        return given

    def cancel(self, job_id: str) -> tuple[JobState, set[str]]:
        """The state after it, and the attempt that went back."""
        job = self.jobs[job_id]
        if job.state == JobState.RUNNING:
            job.stopping = True
        given = self._end_waiting([job], JobState.CANCELLED) if job.state in WAITING else set()
        return job.state, given

    def expire(self) -> set[str]:
        """The attempts that went back."""
        overdue = [job for job in self.jobs.values() if job.overdue and job.state in WAITING]
        return self._end_waiting(overdue, JobState.EXPIRED)

    def _end_waiting(self, jobs: Sequence[ModelJob], final: JobState) -> set[str]:
        given = self.give_back([job.open_attempt for job in jobs if job.open_attempt])
        for job in jobs:
            job.move(final)
        return given

    def wake(self) -> bool:
        """Whether any job woke."""
        woken = [job for job in self.jobs.values() if job.state == JobState.SCHEDULED and job.due]
        for job in woken:
            job.move(JobState.QUEUED)
        return bool(woken)
