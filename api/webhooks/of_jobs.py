"""The URLs that single jobs name: each is an endpoint of its own, made when it is needed first."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from api.deps import Parts
from api.jobs.parse import LineError
from api.jobs.schemas import JobSubmit
from api.webhooks.check import require_url
from api.webhooks.known import Target
from shared.db.accept import NewJob
from shared.db.endpoints import MOST_OF_JOBS, enable_endpoint, endpoint_of_jobs, ensure_of_jobs
from shared.domain.errors import InvalidRequestError

FIELD: Final = "webhook_url"


async def with_webhooks(
    parts: Parts, jobs: list[NewJob], asked: Sequence[tuple[JobSubmit, int | None]]
) -> list[NewJob]:
    """The jobs, each with the endpoint that it names; `asked`: what was, and its line.

    Raises InvalidRequestError, or LineError, for a URL that may not be told anything.
    """
    if not any(each.webhook_url for each, _ in asked):
        return jobs
    told = []
    for job, (each, line) in zip(jobs, asked, strict=True):
        try:
            told.append(await _with_webhook(parts, job, each))
        except InvalidRequestError as error:
            raise error if line is None else LineError(line, error) from None
    return told


async def _with_webhook(parts: Parts, job: NewJob, asked: JobSubmit) -> NewJob:
    if asked.webhook_url is None:
        return job
    target = Target(job.tenant_id, asked.webhook_url, asked.webhook_events)
    endpoint_id = parts.webhooks.get(target)
    if endpoint_id is None:
        endpoint_id = await _look_up(parts, target)
        parts.webhooks.put(target, endpoint_id)
    return replace(job, webhook=endpoint_id)


async def _look_up(parts: Parts, target: Target) -> str:
    """The id of the endpoint. Raises InvalidRequestError."""
    development = parts.settings.egress.allow_loopback
    require_url(target.url, field=FIELD, development=development)
    async with parts.database.transaction() as connection:
        found = await endpoint_of_jobs(connection, *target) or await ensure_of_jobs(
            connection, *target
        )
        if found and found.disabled_at:
            # Whoever names it wants to be told; if it still fails it is disabled again.
            await enable_endpoint(connection, found)
    if found is None:
        message = (
            f"{FIELD}: jobs name {MOST_OF_JOBS} other URLs already, the most; keep it the same "
            "for many jobs (each event has the job's id), or delete some: GET /api/v1/webhooks"
        )
        raise InvalidRequestError(message, field=FIELD)
    return found.id
