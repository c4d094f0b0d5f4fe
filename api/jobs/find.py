"""Find a job of the caller."""

from api.deps import Parts
from api.jobs.schemas import JobRead
from shared.db.read import read_job
from shared.db.tenants import Caller
from shared.domain.errors import NotFoundError


async def find_job(parts: Parts, caller: Caller, job_id: str) -> JobRead:
    """The job as it stands, with its result; NotFoundError, too, for another tenant's."""
    async with parts.database.transaction() as connection:
        row = await read_job(connection, caller.tenant_id, job_id)
    if row is None:
        message = f"no job {job_id!r}"
        raise NotFoundError(message)
    return JobRead.of(row)
