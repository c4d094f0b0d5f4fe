"""What a job was asked through a face: what its replies repeat, what it said, and its oblivion."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.face import Face
from shared.domain.job import FINAL_STATES

ECHO = text("""
SELECT coalesce(payloads.echo, '{}') AS echo
FROM jobs JOIN payloads ON payloads.job_id = jobs.id
WHERE jobs.id = :job_id AND jobs.tenant_id = :tenant_id AND jobs.face = :face
""")

REQUEST = text("""
SELECT payloads.request FROM jobs JOIN payloads ON payloads.job_id = jobs.id
WHERE jobs.id = :job_id AND jobs.tenant_id = :tenant_id
""")

FORGET = text("""
WITH ended AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE id = :job_id AND tenant_id = :tenant_id AND state = ANY(CAST(:finals AS text[]))
    FOR UPDATE
),
results_gone AS (DELETE FROM results WHERE job_id IN (SELECT id FROM ended))
DELETE FROM payloads WHERE job_id IN (SELECT id FROM ended) RETURNING job_id
""").bindparams(finals=sorted(FINAL_STATES))


async def read_echo(
    connection: AsyncConnection, tenant_id: str, job_id: str, face: Face
) -> dict[str, Any] | None:
    """What replies repeat; None where the tenant has no such job of that face, or forgot it."""
    whose = {"tenant_id": tenant_id, "job_id": job_id, "face": face}
    echo: dict[str, Any] | None = (await connection.execute(ECHO, whose)).scalar()
    return echo


async def read_request(
    connection: AsyncConnection, tenant_id: str, job_id: str
) -> dict[str, Any] | None:
    """The JSON of the job's GenerationRequest; None where there is none any more."""
    whose = {"tenant_id": tenant_id, "job_id": job_id}
    request: dict[str, Any] | None = (await connection.execute(REQUEST, whose)).scalar()
    return request


async def forget_contents(connection: AsyncConnection, tenant_id: str, job_id: str) -> bool:
    """Let go of what a job that has ended was asked and answered; False: it has not ended."""
    whose = {"tenant_id": tenant_id, "job_id": job_id}
    return (await connection.execute(FORGET, whose)).scalar() is not None
