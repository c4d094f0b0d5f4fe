"""Find a job of the caller, or wait for its end."""

from time import monotonic

from api.deps import Parts
from api.jobs.schemas import Cause, JobRead, status_url_of
from shared.db.explain import read_failures
from shared.db.read import read_job
from shared.db.tenants import Caller
from shared.domain.errors import CutShortError, NotFoundError, NotYetError
from shared.domain.job import FINAL_STATES, JobState


async def find_job(parts: Parts, caller: Caller, job_id: str) -> JobRead:
    """The job as it stands, with its result; NotFoundError, too, for another tenant's."""
    async with parts.looking.transaction() as connection:
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


def cut_short(job_id: str) -> CutShortError:
    """What is said to somebody whom this process can tell no more."""
    status_url = status_url_of(job_id)
    message = f"the server goes; the job goes on: ask again, or GET {status_url}"
    return CutShortError(message, status_url=status_url)


def not_yet(job_id: str) -> NotYetError:
    """What is said to somebody whose time to wait is out."""
    status_url = status_url_of(job_id)
    message = f"no answer yet; the job goes on: GET {status_url}"
    return NotYetError(message, status_url=status_url)


async def job_after(
    parts: Parts, caller: Caller, job_id: str, seconds: float, *, look_first: bool = True
) -> JobRead:
    """The job when it has ended, or as it stands when so many seconds are out.

    What was accepted a moment ago need not be looked at before the wait.
    """
    until = monotonic() + seconds
    event = parts.waiters.expect(job_id)
    try:
        job = await find_job(parts, caller, job_id) if look_first or not seconds else None
        while job is None or job.state not in FINAL_STATES:
            if not await parts.waiters.set_before(until, event):
                return job or await find_job(parts, caller, job_id)
            event.clear()
            job = await find_job(parts, caller, job_id)
        return job
    finally:
        parts.waiters.forget(job_id, event)
