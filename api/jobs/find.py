"""Find a job of the caller."""

from api.deps import Parts
from api.jobs.schemas import Cause, JobRead
from shared.db.explain import read_failures
from shared.db.read import read_job
from shared.db.tenants import Caller
from shared.domain.errors import NotFoundError
from shared.domain.job import JobState


async def find_job(parts: Parts, caller: Caller, job_id: str) -> JobRead:
    """The job as it stands, with its result; NotFoundError, too, for another tenant's."""
    async with parts.database.transaction() as connection:
        row = await read_job(connection, caller.tenant_id, job_id)
        told = row is not None and row.state == JobState.FAILED and row.tries > 1
        failures = await read_failures(connection, job_id) if told else []
    if row is None:
        message = f"no job {job_id!r}"
        raise NotFoundError(message)
    job = JobRead.of(row)
    if job.error is not None and failures:
        job.error.causes = [
            Cause(
                deployment=each.deployment,
                kind=each.failure_kind,
                message=each.error or each.failure_kind,
                at=each.ended_at,
            )
            for each in failures
        ]
    return job
