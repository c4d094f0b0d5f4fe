"""Release jobs to workers: peek without locks, then mint attempts under them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.budgets import VERSION
from shared.domain.attempt import AttemptState, Further
from shared.domain.budget import Payer
from shared.domain.job import JobState, Lane
from shared.routing.stored import StoredPolicy, input_at

REACH: Final = 2_000
"""So many jobs of a lane and tenant are looked through for those that may start now."""


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job that may go, as seen without a lock."""

    id: str
    tenant_id: str
    weight: int
    lane: Lane
    input_tokens: int
    """Enough for each of its candidates."""
    max_tokens: int
    tried: tuple[str, ...]
    isolated: bool
    unfit: tuple[str, ...] = ()
    """Deployments that cannot take it."""
    web_search: bool = False
    """The model may search the web for it, which is billed apart."""
    tries: int = 0
    policy: StoredPolicy | None = None
    """Who may take it and in which order; None: the deployments of its route."""
    last_failure: str | None = None
    cost_nano: int = 0
    """What its attempts so far have cost."""
    key_id: str | None = None
    """Which of its tenant's keys it came by."""
    project: str | None = None
    batch: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """The most tokens that a call of it can take at whom it begins with."""
        first = self.policy.candidates[0] if self.policy else ""
        return self.input_at(first) + self.max_tokens

    def input_at(self, deployment: str) -> int:
        """The input tokens of its next call there, at the most."""
        return input_at(self.policy, deployment, self.input_tokens, self.last_failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """One job that its meter lets go, with what was reserved for it."""

    job_id: str
    attempt_id: str
    deployment: str
    queue: str
    permit_tokens: int
    hold_nano: int
    further: Further = Further.LATER
    """What may follow if it fails."""
    windows: tuple[int, ...] = ()
    """The budgets' windows that its hold counts in."""


# A loose index scan: one probe of jobs_due per route, however long the backlog.
DUE_ROUTES = text("""
WITH RECURSIVE due AS (
    (SELECT route FROM jobs WHERE state = 'queued' AND open_attempt IS NULL
     ORDER BY route LIMIT 1)
    UNION ALL
    SELECT (SELECT route FROM jobs
            WHERE state = 'queued' AND open_attempt IS NULL AND route > due.route
            ORDER BY route LIMIT 1)
    FROM due WHERE due.route IS NOT NULL
)
SELECT route FROM due WHERE route IS NOT NULL
""")

# The same per (lane, tenant), then the oldest few of each. Two row comparisons stand for an
# equality: beside one, the planner takes `ORDER BY id` for a walk through every job there is.
DUE_JOBS = text("""
WITH RECURSIVE due AS (
    (SELECT lane, tenant_id FROM jobs
     WHERE state = 'queued' AND open_attempt IS NULL AND route = :route
     ORDER BY lane, tenant_id LIMIT 1)
    UNION ALL
    SELECT following.lane, following.tenant_id FROM due, LATERAL (
        SELECT lane, tenant_id FROM jobs
        WHERE state = 'queued' AND open_attempt IS NULL AND route = :route
          AND (lane, tenant_id) > (due.lane, due.tenant_id)
        ORDER BY lane, tenant_id LIMIT 1) AS following
)
SELECT job.*, tenants.weight
FROM due JOIN tenants ON tenants.id = due.tenant_id, LATERAL (
    SELECT * FROM (
        SELECT id, tenant_id, key_id, lane, input_tokens, max_tokens, tried, isolated, unfit, tries,
               policy, web_search, error_kind, cost_nano, project, batch, tags
        FROM jobs
        WHERE state = 'queued' AND open_attempt IS NULL AND route = :route
          AND (lane, tenant_id) >= (due.lane, due.tenant_id)
          AND (lane, tenant_id) <= (due.lane, due.tenant_id)
          AND jobs.deadline > clock_timestamp()
          AND (unfit IS NULL OR NOT CAST(:open AS text[]) <@ unfit)
        ORDER BY lane, tenant_id, id LIMIT :reach) AS oldest
    WHERE NOT :some_full OR NOT CAST(:full AS text[]) && (
        ARRAY['* all ', tenant_id || ' all ', tenant_id || ' key ' || key_id,
              tenant_id || ' project ' || project, tenant_id || ' batch ' || batch]
        || ARRAY(SELECT tenant_id || ' tag ' || tag FROM unnest(tags) AS tag))
    ORDER BY lane, tenant_id, id LIMIT :each) AS job
""")

RELEASE = text(f"""
WITH permit AS (
    SELECT * FROM unnest(
        CAST(:job_id AS text[]), CAST(:attempt_id AS text[]), CAST(:deployment AS text[]),
        CAST(:queue AS text[]), CAST(:permit_tokens AS int[]), CAST(:hold_nano AS bigint[]),
        CAST(:further AS text[]), CAST(:windows AS text[])
    ) AS p(job_id, attempt_id, deployment, queue, permit_tokens, hold_nano, further, windows)
), picked AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE id = ANY(CAST(:job_id AS text[])) AND state = :queued AND open_attempt IS NULL
      AND cancel_requested_at IS NULL AND deadline > clock_timestamp()
      AND CAST(:budgets_version AS bigint) = {VERSION}
    ORDER BY id FOR UPDATE SKIP LOCKED
), bumped AS (
    UPDATE jobs SET epoch = epoch + 1, open_attempt = permit.attempt_id
    FROM permit JOIN picked ON picked.id = permit.job_id
    WHERE jobs.id = permit.job_id AND jobs.state = :queued AND jobs.open_attempt IS NULL
    RETURNING jobs.id, jobs.tenant_id, jobs.epoch
), minted AS (
    INSERT INTO attempts (id, job_id, tenant_id, epoch, deployment, queue, state,
                          permit_tokens, hold_nano, further, budgets)
    SELECT permit.attempt_id, bumped.id, bumped.tenant_id, bumped.epoch, permit.deployment,
           permit.queue, :planned, permit.permit_tokens, permit.hold_nano, permit.further,
           CAST(permit.windows AS bigint[])
    FROM bumped JOIN permit ON permit.job_id = bumped.id
    RETURNING id, job_id, tenant_id, hold_nano, budgets
), held AS (
    INSERT INTO ledger (attempt_id, kind, tenant_id, job_id, spent_nano, held_nano, budgets)
    SELECT id, 'hold', tenant_id, job_id, 0, hold_nano, budgets FROM minted
)
SELECT id FROM minted
""").bindparams(queued=JobState.QUEUED, planned=AttemptState.PLANNED)


async def due_routes(connection: AsyncConnection) -> list[str]:
    """The routes that have jobs to release."""
    return list((await connection.execute(DUE_ROUTES)).scalars())


async def due_jobs(
    connection: AsyncConnection,
    route: str,
    each: int,
    *,
    deployments: Sequence[str] = (),
    full: Collection[Payer] = (),
) -> list[DueJob]:
    """The oldest due jobs of a route, at most `each` per lane and tenant, without locks.

    Only what one of the open `deployments` can take, without any what everybody can: the others
    would hide what is behind them. For the same reason nothing of who is `full`, and may start
    no more now; behind more than REACH of their jobs the others of the tenant have to wait.
    """
    choice = {
        "route": route, "each": each, "open": list(deployments), "some_full": bool(full),
        "full": [str(payer) for payer in full], "reach": max(each, REACH) if full else each,
    }  # fmt: skip
    rows = await connection.execute(DUE_JOBS, choice)
    return [
        DueJob(
            id=row.id,
            tenant_id=row.tenant_id,
            weight=row.weight,
            lane=Lane(row.lane),
            input_tokens=row.input_tokens,
            max_tokens=row.max_tokens,
            tried=tuple(row.tried),
            isolated=row.isolated,
            unfit=tuple(row.unfit or ()),
            web_search=row.web_search,
            tries=row.tries,
            policy=StoredPolicy.from_json(row.policy) if row.policy else None,
            last_failure=row.error_kind,
            cost_nano=row.cost_nano,
            key_id=row.key_id,
            project=row.project,
            batch=row.batch,
            tags=tuple(row.tags or ()),
        )
        for row in rows
    ]


async def release(
    connection: AsyncConnection, permits: Sequence[Permit], *, budgets_version: int | None
) -> set[str]:
    """Mint a planned attempt for each permit whose job is still free; their attempt ids.

    None at all if the list of budgets is another one by now: the permits may miss a window.
    """
    columns = {name: [getattr(permit, name) for permit in permits] for name in Permit.__slots__}
    # Arrays of different lengths do not make an array: each goes as PostgreSQL writes it.
    columns["windows"] = [_array(permit.windows) for permit in permits]
    asked = {**columns, "budgets_version": budgets_version}
    return set((await connection.execute(RELEASE, asked)).scalars())


def _array(windows: Sequence[int]) -> str | None:
    return "{" + ",".join(map(str, windows)) + "}" if windows else None
