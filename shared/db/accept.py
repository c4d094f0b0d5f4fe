"""Accept jobs: idempotency key, job and payload in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.face import Face
from shared.domain.job import JobState, Lane, WaitReason
from shared.routing.stored import StoredPolicy, input_at


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A validated job, ready to be written; `request` and `metadata` are JSON text."""

    id: str
    tenant_id: str
    key_id: str | None
    route: str
    lane: Lane
    request: str
    metadata: str | None
    batch: str | None
    run_at: datetime | None
    deadline_seconds: float
    max_tries: int
    input_tokens: int
    max_tokens: int
    idempotency_key: str | None
    body_hash: bytes
    unfit: tuple[str, ...] | None = None
    """Deployments of its route that cannot take it."""
    web_search: bool = False
    """The model may search the web for it, which is billed apart."""
    policy: StoredPolicy | None = None
    """None: its route says all."""
    project: str | None = None
    end_user: str | None = None
    tags: tuple[str, ...] | None = None
    face: Face | None = None
    """What made it, if not the native route."""
    echo: str | None = None
    """What replies of that face repeat, as JSON text."""
    webhook: str | None = None
    """The id of an endpoint that is told of its end, beside those of its tenant."""

    def input_at(self, deployment: str) -> int:
        """The input tokens of its call there, at the most."""
        return input_at(self.policy, deployment, self.input_tokens)


JSON_ALREADY: Final = frozenset({"request", "metadata", "echo"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one submission."""

    job_id: str
    replayed: bool
    """The key was known: `job_id` is the earlier job's."""
    same_body: bool = True
    """False: the key was used with another body, and nothing was accepted."""


# The queued row is the outbox: accepting publishes nothing. The rows come as one JSON value:
# a parameter for each column costs this process five times as much.
ACCEPT = text("""
WITH input AS (
    SELECT * FROM jsonb_to_recordset(CAST(:jobs AS jsonb)) AS input(
        id text, tenant_id text, key_id text, route text, lane smallint, request jsonb,
        metadata jsonb, batch text, run_at timestamptz, deadline_seconds float8, max_tries int,
        input_tokens int, max_tokens int, idempotency_key text, body_hash bytea, unfit text[],
        web_search boolean, policy jsonb, request_bytes int, project text, end_user text,
        tags text[], face text, echo jsonb, webhook text)
), claimed AS (
    INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id)
    SELECT tenant_id, idempotency_key, body_hash, id FROM input
    WHERE idempotency_key IS NOT NULL
    ORDER BY tenant_id, idempotency_key
    ON CONFLICT DO NOTHING
    RETURNING job_id
), fresh AS (
    SELECT *, coalesce(run_at > clock_timestamp(), false) AS later FROM input
    WHERE idempotency_key IS NULL OR id IN (SELECT job_id FROM claimed)
), job AS (
    INSERT INTO jobs (id, tenant_id, key_id, batch, route, lane, state, wait_reason, run_at,
                      deadline, max_tries, input_tokens, max_tokens, unfit, web_search,
                      policy, request_bytes, project, end_user, tags, face)
    SELECT id, tenant_id, key_id, batch, route, lane,
           CASE WHEN later THEN :scheduled ELSE :queued END,
           CASE WHEN later THEN :not_before END,
           coalesce(run_at, clock_timestamp()),
           clock_timestamp() + make_interval(secs => deadline_seconds),
           max_tries, input_tokens, max_tokens, unfit, web_search, policy, request_bytes,
           project, end_user, tags, face
    FROM fresh
), payload AS (
    INSERT INTO payloads (job_id, request, metadata, echo, webhook)
    SELECT id, request, metadata, echo, webhook FROM fresh
)
SELECT id FROM fresh
""").bindparams(
    scheduled=JobState.SCHEDULED, queued=JobState.QUEUED, not_before=WaitReason.NOT_BEFORE
)

KNOWN = text("""
SELECT key, job_id, body_hash FROM idempotency_keys
WHERE tenant_id = :tenant_id AND key = ANY(CAST(:keys AS text[]))
""")


async def accept(connection: AsyncConnection, jobs: Sequence[NewJob]) -> list[Accepted]:
    """Write the new jobs of one tenant; say for each, in order, what became of it.

    A concurrent submission of the same key waits for the first one's commit and then
    sees its job. A key that came twice in one call counts once.
    """
    rows = await connection.execute(ACCEPT, {"jobs": _as_json(jobs)})
    fresh = set(rows.scalars())
    missed = [job for job in jobs if job.id not in fresh]
    if not missed:
        return [Accepted(job.id, replayed=False) for job in jobs]
    known_rows = await connection.execute(
        KNOWN,
        {"tenant_id": missed[0].tenant_id, "keys": [job.idempotency_key for job in missed]},
    )
    known = {row.key: row for row in known_rows}
    return [
        Accepted(job.id, replayed=False)
        if job.id in fresh
        else Accepted(
            known[job.idempotency_key].job_id,
            replayed=True,
            same_body=bytes(known[job.idempotency_key].body_hash) == job.body_hash,
        )
        for job in jobs
    ]


def _as_json(jobs: Sequence[NewJob]) -> str:
    """Rows for jsonb_to_recordset: JSON goes in as it is, null stays out."""
    rows = [
        {name: value for name in NewJob.__slots__ if (value := getattr(job, name)) is not None}
        for job in jobs
    ]
    for row in rows:
        row["request_bytes"] = len(row["request"].encode())
        if policy := row.get("policy"):
            row["policy"] = policy.to_json()
        for name in JSON_ALREADY.intersection(row):
            row[name] = orjson.Fragment(row[name])
        row["body_hash"] = "\\x" + row["body_hash"].hex()
    return orjson.dumps(rows).decode()
