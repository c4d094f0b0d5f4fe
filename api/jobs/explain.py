"""Why a job stands where it stands, over HTTP: what it waits for, and what was tried."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import AnyParts, Parts, Reader
from api.errors import error_responses
from api.jobs.schemas import Cost, JobError, JobStanding, Moment
from shared.broker.messages import ISOLATED_QUEUE
from shared.catalog.deployments import Deployment
from shared.db import explain, workers
from shared.db.reach import read_reach
from shared.db.read import read_job
from shared.domain.attempt import AttemptState
from shared.domain.errors import NotFoundError
from shared.domain.job import JobState, WaitReason

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

Reason = Literal[
    "not_before", "backoff", "provider", "budget",
    "no_deployment", "no_worker", "worker", "workers", "concurrency", "turn",
]  # fmt: skip


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


class Waiting(BaseModel):
    """What a waiting job waits for, as it stands now."""

    reason: Reason
    """`workers`: they are full; `worker`: it is released, one takes it; `turn`: rate or others."""
    detail: str | None = None
    until: Moment | None = None
    deployment: str | None = None
    ahead: int | None = None
    """The caller's own jobs that go first; counted to 10000."""
    other_tenants: int | None = None
    """Tenants that share the route in its lane or a more urgent one; turns are shared fairly."""
    in_flight: int | None = None
    capacity: int | None = None
    limits: dict[str, float] | None = None
    """The deployment's quota: requests, tokens and concurrency (0: none) a window of seconds."""


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
        waiting = await _waiting(connection, parts, caller.tenant_id, row)
    return JobWhy.of(
        row, waiting=waiting, attempts=[AttemptRead.of(attempt) for attempt in attempts]
    )


async def _waiting(
    connection: AsyncConnection, parts: Parts, tenant_id: str, row: Any
) -> Waiting | None:
    """None for a job that runs or has ended."""
    if row.state == JobState.SCHEDULED:
        return Waiting(reason=WaitReason(row.wait_reason).value, until=row.run_at, detail=row.error)
    place = await explain.read_place(connection, tenant_id, row.id)
    if row.state != JobState.QUEUED or place is None:
        return None
    plan = parts.catalog.plan(place.route)
    if not plan:
        return Waiting(reason="no_deployment", detail="no provider of the catalog serves it")
    able, reason = await _able(connection, plan, place)
    if reason is not None:
        return Waiting(reason="no_deployment", detail=reason)
    deployment = _next(able, place.tried)
    queue = ISOLATED_QUEUE if place.isolated else deployment.queue
    capacity = (await workers.capacity(connection)).get(queue, 0)
    flying = await explain.in_flight(connection, [deployment.id])
    before = await explain.queue_before(connection, place)
    return Waiting(
        reason="worker" if place.released else _binding(deployment, flying, capacity),
        deployment=deployment.id,
        ahead=before.ahead,
        other_tenants=before.other_tenants,
        in_flight=flying,
        capacity=capacity,
        limits=_limits(deployment),
    )


async def _able(
    connection: AsyncConnection, plan: Sequence[Deployment], place: explain.Place
) -> tuple[list[Deployment], str | None]:
    """The deployments that it can be released to now, or why there is none."""
    reach = await read_reach(connection)
    if reason := reach.why_off(plan) or reach.refused(plan):
        return [], reason
    fit = [
        each for each in plan if each.provider.id not in reach.off and each.id not in place.unfit
    ]
    # Where nobody is ready it waits for the first of whom no worker says that it cannot call it.
    able = [each for each in fit if reach.open(each.provider)] or [
        each for each in fit if reach.ready(each.provider) is None
    ]
    return able, None if able else "who could take it is disabled or has no credential"


def _next(plan: Sequence[Deployment], tried: tuple[str, ...]) -> Deployment:
    """The deployment that the dispatcher will ask for it."""
    return next((deployment for deployment in plan if deployment.id not in tried), plan[0])


def _binding(deployment: Deployment, flying: int, capacity: int) -> Reason:
    """The limit that holds it back, as far as the database knows."""
    if not capacity:
        return "no_worker"
    if deployment.limits.concurrency and flying >= deployment.limits.concurrency:
        return "concurrency"
    return "workers" if flying >= capacity else "turn"


def _limits(deployment: Deployment) -> dict[str, float]:
    limits = deployment.limits
    return {
        "requests": limits.requests,
        "tokens": limits.tokens,
        "concurrency": limits.concurrency,
        "window_seconds": limits.window,
    }
