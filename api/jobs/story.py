"""A job with what it waits for and every attempt so far."""

from typing import Any, Literal

from pydantic import BaseModel

from api.deps import Parts
from api.jobs.find import find_job
from api.jobs.schemas import Cost, JobError, JobRead, JobStanding, Moment
from api.jobs.waiting import Waiting, waiting_of
from shared.db.explain import read_attempts
from shared.db.read import read_job
from shared.db.tenants import Caller
from shared.domain.attempt import AttemptState
from shared.domain.errors import NotFoundError


class AttemptRead(BaseModel):
    """One release and at most one call of a provider."""

    id: str
    state: AttemptState
    deployment: str
    worker: str | None
    planned_at: Moment
    sent_at: Moment | None
    ended_at: Moment | None
    latency_ms: int | None
    cost: Cost | None
    """None while it is open: only its hold is known."""
    held: Cost
    """The most that it could cost."""
    error: JobError | None

    @classmethod
    def of(cls, row: Any) -> "AttemptRead":
        """From a row of shared/db/explain.py."""
        unknown = row.state == AttemptState.UNKNOWN
        return cls(
            id=row.id,
            state=row.state,
            deployment=row.deployment,
            worker=row.worker_id,
            planned_at=row.planned_at,
            sent_at=row.sent_at,
            ended_at=row.ended_at,
            latency_ms=row.latency_ms,
            cost=None if row.cost_nano is None else Cost.of(row.cost_nano, unknown=unknown),
            held=Cost.of(row.hold_nano),
            error=JobError.of(row.failure_kind, row.error),
        )


class Story(BaseModel):
    """What it waits for, and its attempts, the first first."""

    waiting: Waiting | None
    """None for a job that runs or has ended."""
    attempts: list[AttemptRead]


class JobWhy(JobStanding, Story):
    """A job's state and its story."""

    object: Literal["job.why"] = "job.why"


class JobWithStory(JobRead, Story):
    """A job, its result and its story."""


async def why(parts: Parts, caller: Caller, job_id: str) -> JobWhy:
    """Its state and story; NotFoundError, too, for another tenant's."""
    async with parts.database.transaction() as connection:
        row = await read_job(connection, caller.tenant_id, job_id)
        if row is None:
            message = f"no job {job_id!r}"
            raise NotFoundError(message)
        attempts = await read_attempts(connection, caller.tenant_id, job_id)
        waiting = await waiting_of(connection, parts, caller.tenant_id, row)
    return JobWhy.of(row, waiting=waiting, attempts=[AttemptRead.of(each) for each in attempts])


async def with_story(parts: Parts, caller: Caller, job_id: str) -> JobWithStory:
    """All that there is to tell of it; NotFoundError, too, for another tenant's."""
    job, story = await find_job(parts, caller, job_id), await why(parts, caller, job_id)
    return JobWithStory(**dict(job), waiting=story.waiting, attempts=story.attempts)
