"""Why a job stands where it stands, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.deps import AnyParts, Reader
from api.errors import error_responses
from api.jobs.story import JobWhy, why

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


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
    return await why(parts, caller, job_id)
