"""Why a job stands where it stands, over HTTP: what it waits for, and what was tried."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel

from api.deps import AnyParts, Reader
from api.errors import error_responses
from api.jobs.schemas import Cost, JobError, JobStanding, Moment
from api.jobs.waiting import Waiting, waiting_of
from shared.db import explain
from shared.db.read import read_job
from shared.domain.attempt import AttemptState
from shared.domain.errors import NotFoundError

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


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


class JobWhy(JobStanding):
    """A job's state, what it waits for, and its attempts, the first first."""

    object: Literal["job.why"] = "job.why"
    waiting: Waiting | None
    attempts: list[AttemptRead]


@router.get(
    "/{job_id}/why",
    operation_id="explain_job",
    summary="Why a job stands where it stands",
    responses=error_responses(404),
)
async def explain_job(
    parts: AnyParts, caller: Reader, job_id: Annotated[str, Path(max_length=64)]
) -> JobWhy:
    """What it waits for, what is before it, and every attempt so far."""
    async with parts.database.transaction() as connection:
        row = await read_job(connection, caller.tenant_id, job_id)
        if row is None:
            message = f"no job {job_id!r}"
            raise NotFoundError(message)
        attempts = await explain.read_attempts(connection, caller.tenant_id, job_id)
        waiting = await waiting_of(connection, parts, caller.tenant_id, row)
    return JobWhy.of(
        row, waiting=waiting, attempts=[AttemptRead.of(attempt) for attempt in attempts]
    )
