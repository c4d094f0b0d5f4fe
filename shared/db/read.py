"""Read jobs: one, a page, and the sum of many; nothing here changes a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.ids import IdKind, first_id
from shared.domain.job import FINAL_STATES, JobState, Lane

COLUMNS = """
jobs.id, jobs.state, jobs.wait_reason, jobs.lane, jobs.route, jobs.batch, jobs.project,
jobs.end_user, jobs.tags, payloads.metadata,
jobs.created_at, jobs.run_at, jobs.deadline, jobs.started_at, jobs.finished_at, jobs.tries,
jobs.max_tries, jobs.cancel_requested_at, jobs.cost_nano, jobs.cost_flagged, jobs.error_kind,
jobs.error
"""

ONE = text(f"""
SELECT {COLUMNS}, results.body AS result
FROM jobs LEFT JOIN payloads ON payloads.job_id = jobs.id
LEFT JOIN results ON results.job_id = jobs.id
WHERE jobs.id = :job_id AND jobs.tenant_id = :tenant_id
""")

MANY = text(f"""
SELECT {COLUMNS}
FROM jobs LEFT JOIN payloads ON payloads.job_id = jobs.id
WHERE jobs.id = ANY(CAST(:job_ids AS text[])) AND jobs.tenant_id = :tenant_id
""")

FINAL_AMONG = text("""
SELECT id FROM jobs
WHERE id = ANY(CAST(:job_ids AS text[])) AND state = ANY(CAST(:finals AS text[]))
""").bindparams(finals=sorted(FINAL_STATES))

SUMMARY = text("""
SELECT state, count(*) AS jobs, sum(cost_nano)::bigint AS cost_nano,
       bool_or(cost_flagged) AS flagged
FROM jobs
WHERE tenant_id = :tenant_id AND (CAST(:batch AS text) IS NULL OR batch = :batch)
GROUP BY state
""")

HELD = text("""
SELECT coalesce(sum(attempts.hold_nano), 0)::bigint
FROM jobs JOIN attempts ON attempts.id = jobs.open_attempt
WHERE jobs.tenant_id = :tenant_id AND jobs.open_attempt IS NOT NULL
  AND (CAST(:batch AS text) IS NULL OR jobs.batch = :batch)
""")

USAGE = text("""
SELECT coalesce(sum((attempts.usage->>'input_tokens')::bigint), 0)::bigint AS input_tokens,
       coalesce(sum((attempts.usage->>'output_tokens')::bigint), 0)::bigint AS output_tokens
FROM jobs JOIN attempts ON attempts.job_id = jobs.id
WHERE jobs.tenant_id = :tenant_id AND jobs.batch = :batch
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which jobs of a tenant a list shows; None: any."""

    state: JobState | None = None
    batch: str | None = None
    lane: Lane | None = None
    routes: tuple[str, ...] | None = None
    project: str | None = None
    end_user: str | None = None
    tag: str | None = None
    since: datetime | None = None
    """Made at that moment or later, by the clock of the API that made its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where a list goes on, and how far."""

    after: str | None
    limit: int
    descending: bool
    with_results: bool


async def read_job(connection: AsyncConnection, tenant_id: str, job_id: str) -> Row[Any] | None:
    """One job of the tenant with its result; None for any other id."""
    found = await connection.execute(ONE, {"tenant_id": tenant_id, "job_id": job_id})
    return found.one_or_none()


async def read_jobs(
    connection: AsyncConnection, tenant_id: str, job_ids: Sequence[str]
) -> list[Row[Any]]:
    """These jobs of the tenant, without results, in no order."""
    found = await connection.execute(MANY, {"tenant_id": tenant_id, "job_ids": list(job_ids)})
    return list(found)


async def list_jobs(
    connection: AsyncConnection, tenant_id: str, filters: Filters, page: Page
) -> list[Row[Any]]:
    """A page of the tenant's jobs by id, one row more than asked where there are more."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "limit": page.limit + 1}
    tests = ["jobs.tenant_id = :tenant_id"]
    wanted = {
        "jobs.state = :state": ("state", filters.state),
        "jobs.batch = :batch": ("batch", filters.batch),
        "jobs.lane = :lane": ("lane", filters.lane),
        "jobs.project = :project": ("project", filters.project),
        "jobs.end_user = :end_user": ("end_user", filters.end_user),
        ":tag = ANY(jobs.tags)": ("tag", filters.tag),
        "split_part(jobs.route, '#', 1) = ANY(CAST(:routes AS text[]))": (
            "routes",
            list(filters.routes) if filters.routes else None,
        ),
        "jobs.id >= :since": (
            "since",
            first_id(IdKind.JOB, filters.since) if filters.since else None,
        ),
        f"jobs.id {'<' if page.descending else '>'} :after": ("after", page.after),
    }
    for test, (name, value) in wanted.items():
        if value is not None:
            tests.append(test)
            values[name] = value
    result = ", results.body AS result" if page.with_results else ""
    join = "LEFT JOIN results ON results.job_id = jobs.id" if page.with_results else ""
    statement = f"""
        SELECT {COLUMNS}{result}
        FROM jobs LEFT JOIN payloads ON payloads.job_id = jobs.id {join}
        WHERE {" AND ".join(tests)}
        ORDER BY jobs.id {"DESC" if page.descending else "ASC"} LIMIT :limit
    """
    return list(await connection.execute(text(statement), values))


async def final_among(connection: AsyncConnection, job_ids: Sequence[str]) -> set[str]:
    """Those of the jobs that have reached a final state."""
    return set((await connection.execute(FINAL_AMONG, {"job_ids": list(job_ids)})).scalars())


@dataclass(frozen=True, slots=True)
class Summary:
    """The sum of a tenant's jobs, or of one batch of them."""

    counts: dict[JobState, int]
    cost_nano: int
    flagged: bool
    held_nano: int
    input_tokens: int
    output_tokens: int


async def summarise(connection: AsyncConnection, tenant_id: str, batch: str | None) -> Summary:
    """Jobs by state, cost, holds and tokens; tokens only of a batch."""
    whose = {"tenant_id": tenant_id, "batch": batch}
    states = (await connection.execute(SUMMARY, whose)).all()
    held = (await connection.execute(HELD, whose)).scalar_one()
    counts = dict.fromkeys(JobState, 0) | {JobState(row.state): row.jobs for row in states}
    usage = (await connection.execute(USAGE, whose)).one() if batch is not None else None
    return Summary(
        counts=counts,
        cost_nano=sum(row.cost_nano for row in states),
        flagged=any(row.flagged for row in states),
        held_nano=held,
        input_tokens=usage.input_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
    )
