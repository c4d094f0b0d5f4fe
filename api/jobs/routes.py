"""The job resource over HTTP: parse, one call, return."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import AwareDatetime

from api.bodies import body_of
from api.deps import AnyParts, Parts, Reader, Writer
from api.errors import error_responses
from api.jobs.find import find_job, job_after
from api.jobs.parse import parse_as, parse_json, split_lines
from api.jobs.schemas import (
    JOB_EXAMPLE,
    BulkAccepted,
    BulkItem,
    BulkLine,
    Cost,
    JobList,
    JobRead,
    JobSubmit,
    JobSummary,
    LaneName,
    TokenSum,
)
from api.jobs.story import JobWithStory, with_story
from api.jobs.submit import Submission, read_line, submit
from shared.catalog.deployments import REHEARSAL_PREFIX
from shared.db.cancel import cancel
from shared.db.read import Filters, Page, list_jobs, summarise
from shared.domain.errors import ConflictError
from shared.domain.job import FINAL_STATES, JobState, Lane
from shared.doorbell import Bell

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
BULK_PATH: Final = "/api/v1/jobs/bulk"
WaitSeconds = Annotated[float, Query(ge=0, le=60, description="Seconds")]
JobId = Annotated[str, Path(max_length=64, examples=["job_06gvp37aldqhh801vvaql8icro"])]


@router.post(
    "",
    status_code=202,
    operation_id="submit_job",
    summary="Submit a job",
    responses=error_responses(400, 402, 409, 413, 422),
    openapi_extra=body_of(JobSubmit, example=JOB_EXAMPLE),
)
async def submit_job(
    request: Request,
    response: Response,
    parts: AnyParts,
    caller: Writer,
    wait: WaitSeconds = 0.0,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> JobRead:
    """Accepted means committed: the job survives any crash from here on.

    With `wait`, the reply is a `200` if the job ends in this time; it goes on otherwise.
    """
    raw = await request.body()
    body = parse_json(raw)
    asked = parse_as(JobSubmit, body)
    [accepted] = await submit(parts, caller, [Submission(asked, body, len(raw), idempotency_key)])
    job = await job_after(
        parts, caller, accepted.job_id, _allowed(parts, wait), look_first=accepted.replayed
    )
    if wait and job.state in FINAL_STATES:
        response.status_code = 200
    response.headers["Location"] = job.status_url
    if accepted.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return job


@router.post(
    "/bulk",
    status_code=202,
    operation_id="submit_jobs",
    summary="Submit up to 1000 jobs, all or none",
    responses=error_responses(400, 402, 409, 413, 422),
    openapi_extra=body_of(BulkLine, "application/x-ndjson", JOB_EXAMPLE),
)
async def submit_jobs(request: Request, parts: AnyParts, caller: Writer) -> BulkAccepted:
    """One JSON object a line; an error names the line."""
    submissions = [read_line(number, line) for number, line in split_lines(await request.body())]
    accepted = await submit(parts, caller, submissions)
    items = [BulkItem(id=job.job_id, replayed=job.replayed) for job in accepted]
    return BulkAccepted(accepted=len(items), jobs=items)


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs",
    responses=error_responses(400),
)
async def list_jobs_route(  # noqa: PLR0913, PLR0917 - each is a query parameter
    parts: AnyParts,
    caller: Reader,
    state: JobState | None = None,
    batch: Annotated[str | None, Query(max_length=64)] = None,
    project: Annotated[str | None, Query(max_length=64)] = None,
    tag: Annotated[str | None, Query(max_length=64)] = None,
    end_user: Annotated[str | None, Query(max_length=128)] = None,
    lane: LaneName | None = None,
    model: Annotated[str | None, Query(max_length=128)] = None,
    since: Annotated[AwareDatetime | None, Query(description="Made then or later")] = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    order: Literal["asc", "desc"] = "desc",
    include: Literal["result"] | None = None,
) -> JobList:
    """The caller's jobs, the newest first; go on with `after` = the last reply's `next`."""
    filters = Filters(
        state=state,
        batch=batch,
        project=project,
        tag=tag,
        end_user=end_user,
        lane=Lane.of(lane) if lane else None,
        routes=(model, REHEARSAL_PREFIX + model) if model else None,
        since=since,
    )
    page = Page(
        after=after, limit=limit, descending=order == "desc", with_results=include == "result"
    )
    async with parts.database.transaction() as connection:
        rows = await list_jobs(connection, caller.tenant_id, filters, page)
    data = [JobRead.of(row) for row in rows[:limit]]
    more = len(rows) > limit
    return JobList(data=data, has_more=more, next=data[-1].id if more else None)


@router.get(
    "/summary",
    operation_id="summarise_jobs",
    summary="Count jobs by state, with their cost",
    responses=error_responses(400),
)
async def summary(
    parts: AnyParts, caller: Reader, batch: Annotated[str | None, Query(max_length=64)] = None
) -> JobSummary:
    """Of one batch, or of all the caller's jobs."""
    async with parts.database.transaction() as connection:
        found = await summarise(connection, caller.tenant_id, batch)
    return JobSummary(
        counts=found.counts,
        cost=Cost.of(found.cost_nano, unknown=found.flagged),
        held=Cost.of(found.held_nano),
        usage=TokenSum(input_tokens=found.input_tokens, output_tokens=found.output_tokens),
    )


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Read a job, or wait for it",
    responses=error_responses(404),
)
async def get_job(
    parts: AnyParts,
    caller: Reader,
    job_id: JobId,
    wait: WaitSeconds = 0.0,
    include: Literal["why"] | None = None,
) -> JobWithStory | JobRead:
    """With `wait`, the reply comes when the job has ended, or when the time is out.

    With `include=why` it tells what the job waits for, until when, and its attempts.
    """
    job = await job_after(parts, caller, job_id, _allowed(parts, wait))
    return await with_story(parts, caller, job_id) if include else job


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    responses=error_responses(404, 409),
)
async def cancel_job(parts: AnyParts, caller: Writer, job_id: JobId) -> JobRead:
    """Final at once if it still waits; a running one is asked to stop."""
    async with parts.database.transaction() as connection:
        state, _ = await cancel(connection, caller.tenant_id, job_id)
    if state in FINAL_STATES - {JobState.CANCELLED}:
        message = f"job {job_id} has {state} already; nothing is left to cancel"
        raise ConflictError(message)
    parts.doorbell.ring_soon(Bell.CANCEL, [job_id])
    if state is JobState.CANCELLED:
        parts.doorbell.ring_soon(Bell.DONE, [job_id])
    return await find_job(parts, caller, job_id)


def _allowed(parts: Parts, seconds: float) -> float:
    """As long as was asked for, and as the installation lets one wait."""
    return min(seconds, parts.settings.api.max_wait)
