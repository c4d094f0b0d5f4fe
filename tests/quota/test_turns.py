"""Whose turn it is under a binding quota, and that two dispatchers never spend it twice."""

from shared.domain.job import Lane
from tests.mill import eventually
from tests.quota.arrivals import arrivals
from tests.quota.limits import Limits, limited_mill
from tests.quota.tenants import SIZES, off_from_weights, set_weights, submit_for_each

BACKLOG = 12_000
"""Tokens of each tenant."""
WIDE = 0.1
"""A margin for which no stall of a busy machine is too long: whose turn it is matters here, not
how much of a quota is used."""
MOST_BULK_BEFORE = 4
"""What may still go before an interactive job: a turn that has looked already."""

DEEP = 20_000
SOON = (Lane.INTERACTIVE, Lane.INTERACTIVE, Lane.INTERACTIVE)
"""What the small tenant asks for, one after the other."""
MULTIPLIED = """
WITH one AS (SELECT * FROM jobs), more AS (
    INSERT INTO jobs (id, tenant_id, route, lane, state, run_at, deadline, max_tries,
                      input_tokens, max_tokens)
    SELECT one.id || '_' || n, tenant_id, route, lane, state, run_at, deadline, max_tries,
           input_tokens, max_tokens
    FROM one, generate_series(1, :number) AS n RETURNING id, split_part(id, '_', 2) AS first)
INSERT INTO payloads (job_id, request) SELECT more.id, payloads.request
FROM more JOIN payloads ON payloads.job_id = 'job_' || more.first RETURNING job_id
"""
STARTED = """
SELECT extract(epoch FROM started_at - created_at)::float8 AS after FROM jobs
WHERE id = ANY(CAST(:ids AS text[]))
"""


async def test_tenants_with_equal_backlogs_share_a_quota_by_weight(
    database_url: str, redis_url: str
) -> None:
    async with limited_mill(database_url, redis_url, Limits(tokens=20_000, margin=WIDE)) as mill:
        await set_weights(mill)
        accepted = await submit_for_each(mill, dict.fromkeys(SIZES, BACKLOG))
        await mill.start_workers(2, slots=100)
        assert (await mill.all_final())["succeeded"] == len(accepted)
        shares = off_from_weights(await arrivals(mill))
        assert all(off < 0.05 for _, off in shares.values()), shares
        await mill.check(accepted)


async def test_an_interactive_job_overtakes_a_deep_bulk_backlog(
    database_url: str, redis_url: str
) -> None:
    async with limited_mill(database_url, redis_url, Limits(requests=200, margin=WIDE)) as mill:
        accepted = await mill.submit(200, lane=Lane.BULK)
        await mill.start_workers(2, slots=50)
        await mill.in_state("succeeded", 20)
        urgent = await mill.submit(1, lane=Lane.INTERACTIVE)
        assert (await mill.all_final())["succeeded"] == 201
        row = await mill.life.one(
            "SELECT count(*) AS n FROM attempts, jobs AS urgent"
            " JOIN attempts AS its ON its.job_id = urgent.id"
            " WHERE urgent.id = :id AND attempts.id <> its.id"
            " AND attempts.planned_at BETWEEN urgent.created_at AND its.planned_at",
            id=urgent[0],
        )
        assert row.n <= MOST_BULK_BEFORE
        await mill.check(accepted + urgent)


async def test_the_next_dispatcher_spends_only_what_the_dead_one_left(
    database_url: str, redis_url: str
) -> None:
    async with limited_mill(database_url, redis_url, Limits(requests=250, margin=WIDE)) as mill:
        await mill.start_workers(2, slots=50)
        accepted = await mill.submit(400)
        await mill.in_state("succeeded", 150)
        holder = await mill.holder()
        next(worker for worker in mill.workers if worker.pid == holder).kill()
        assert (await mill.all_final())["succeeded"] == len(accepted)
        await mill.check(accepted)


async def test_an_interactive_job_starts_within_2_seconds_behind_20000_of_another_tenant(
    database_url: str, redis_url: str
) -> None:
    async with limited_mill(database_url, redis_url, Limits(requests=150, margin=WIDE)) as mill:
        await mill.submit(1, lane=Lane.INTERACTIVE)
        await mill.life.all(MULTIPLIED, number=DEEP - 1)
        await mill.start_worker(slots=100)
        await mill.in_state("succeeded", 20)
        ids = [(await mill.submit(1, tenant_id="ten_b", lane=lane))[0] for lane in SOON]

        async def all_started() -> bool:
            rows = await mill.life.all(STARTED, ids=ids)
            return all(row.after is not None for row in rows)

        await eventually("they start", all_started)
        for row in await mill.life.all(STARTED, ids=ids):
            assert row.after < 2.0
