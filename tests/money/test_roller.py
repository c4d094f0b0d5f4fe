"""Usage is summed up once for each call: late, killed, corrected, or with its job gone."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from cli.stack.servers import Servers
from shared.db.migrate import migrate
from shared.db.prune import Part, prune
from shared.db.rollup import roll_up
from shared.db.start import StartedAttempt
from shared.domain.attempt import AttemptState
from shared.domain.clock import SystemClock
from shared.domain.failure import FailureKind
from shared.domain.job import JobState
from shared.domain.usage import bucket_of
from tests.life import COST, HOLD, Life, answered, new_job
from worker.upkeep.roller import Roller

USAGE = (
    '{"input_tokens": 1000, "cached_tokens": 600, "cache_write_tokens": 10,'
    ' "cache_write_1h_tokens": 5, "output_tokens": 70, "reasoning_tokens": 20}'
)
PRICE = '{"price": "input 0.4, cached 0.1, output 1.6; USD per million tokens"}'
SAVED = 600 * 300
TOTALS = """
SELECT outcome, sum(calls)::int AS calls, sum(cost_nano)::int AS cost,
       sum(input_tokens)::int AS input, sum(cached_tokens)::int AS cached,
       sum(cache_write_tokens)::int AS written, sum(output_tokens)::int AS output,
       sum(reasoning_tokens)::int AS reasoning, sum(saved_nano)::int AS saved
FROM {table} GROUP BY outcome HAVING sum(calls) <> 0 OR sum(cost_nano) <> 0 ORDER BY outcome
"""


async def rolled(life: Life, limit: int = 2000) -> int:
    async with life.database.transaction() as connection:
        return await roll_up(connection, limit=limit)


async def totals(life: Life) -> dict[str, Any]:
    """By outcome, once it is sure that minutes, hours and days agree."""
    minutes, hours, days = [
        {row.outcome: row._asdict() for row in await life.all(TOTALS.format(table=table))}
        for table in ("usage_minutes", "usage_hours", "usage_days")
    ]
    assert minutes == hours == days
    return minutes


async def pending(life: Life) -> int:
    return int((await life.one("SELECT count(*) AS n FROM usage_pending")).n)


def timed_out(attempt: StartedAttempt) -> Any:
    return answered(
        attempt, attempt_state=AttemptState.UNKNOWN, job_state=JobState.QUEUED, result=None,
        cost_nano=None, spends_try=True, failure_kind=FailureKind.TIMEOUT, latency_ms=600,
    )  # fmt: skip


async def test_every_kind_of_token_counts_with_cost_and_savings(life: Life) -> None:
    attempts = await life.started(
        new_job(project="apollo", tags=("b", "a"), key_id="key_1"), new_job(), new_job()
    )
    full, plain, refused = sorted(attempts, key=lambda each: each.job_id)
    await life.leave(
        answered(full, usage=USAGE, price=PRICE, latency_ms=300),
        answered(plain, latency_ms=0),
        answered(
            refused,
            attempt_state=AttemptState.REFUSED,
            job_state=JobState.FAILED,
            cost_nano=0,
            result=None,
            failure_kind=FailureKind.AUTH,
        ),
    )
    assert await rolled(life) == 3
    assert await pending(life) == 0
    found = await totals(life)
    assert found.keys() == {"answered", "refused:auth"}
    assert dict(found["answered"]) == {
        "outcome": "answered", "calls": 2, "cost": 2 * COST, "input": 1000, "cached": 600,
        "written": 15, "output": 70, "reasoning": 20, "saved": SAVED,
    }  # fmt: skip
    row = await life.one("SELECT * FROM usage_minutes WHERE project = 'apollo'")
    assert (row.provider, row.model, row.route) == ("openai", "gpt-4.1-mini", "gpt-4.1-mini")
    assert (row.tags, row.key_id, row.tenant_id) == (["a", "b"], "key_1", "ten_a")
    assert row.latencies[bucket_of(300)] == sum(row.latencies) == 1


async def test_a_late_report_moves_the_call_out_of_the_unknown(life: Life) -> None:
    [attempt] = await life.started()
    await life.kill_worker()
    await rolled(life)
    assert {k: (v["calls"], v["cost"]) for k, v in (await totals(life)).items()} == {
        "unknown": (1, HOLD)
    }
    await life.leave(answered(attempt, usage=USAGE, price=PRICE, latency_ms=90))
    await rolled(life)
    [only] = (await totals(life)).values()
    assert (only["outcome"], only["calls"], only["cost"]) == ("answered", 1, COST)
    assert only["input"] == 1000


@pytest.mark.parametrize("limit", [1, 100])
async def test_both_ends_of_a_call_taken_up_at_once_count_one(life: Life, limit: int) -> None:
    [attempt] = await life.started()
    await life.leave(timed_out(attempt))
    await life.leave(answered(attempt, usage=USAGE, latency_ms=90))
    await life.leave(answered(attempt, usage=USAGE, latency_ms=90))
    assert await pending(life) == 2, "a report that comes again is no end"
    while await rolled(life, limit):
        pass
    [only] = (await totals(life)).values()
    assert (only["outcome"], only["calls"], only["cost"]) == ("answered", 1, COST)
    row = await life.one("SELECT latencies FROM usage_days WHERE calls > 0")
    assert sum(row.latencies) == 1


async def test_a_correction_by_hand_moves_the_cost_alone(life: Life) -> None:
    [attempt] = await life.started()
    await life.leave(answered(attempt, usage=USAGE))
    await rolled(life)
    async with life.database.transaction() as connection:
        await connection.execute(text("UPDATE attempts SET cost_nano = 50"))
        await connection.execute(
            text(
                "INSERT INTO usage_pending (attempt_id, was, cost_nano)"
                " VALUES (:id, 'answered', :cost)"
            ),
            {"id": attempt.attempt_id, "cost": COST},
        )
    await rolled(life)
    [only] = (await totals(life)).values()
    assert (only["calls"], only["cost"], only["input"]) == (1, 50, 1000)


async def test_a_roller_that_dies_midway_has_done_nothing(life: Life) -> None:
    attempts = await life.started(*(new_job() for _ in range(5)))
    await life.leave(*(answered(each) for each in attempts))

    class KilledError(Exception):
        pass

    async def die() -> None:
        async with life.database.transaction() as connection:
            assert await roll_up(connection, limit=3) == 3
            raise KilledError

    with pytest.raises(KilledError):
        await die()
    assert (await totals(life), await pending(life)) == ({}, 5)
    await Roller(life.database).visit()
    assert (await totals(life))["answered"]["calls"] == 5


async def test_of_many_rollers_one_takes_each_call(life: Life) -> None:
    for _ in range(3):
        attempts = await life.started(*(new_job() for _ in range(20)))
        await life.leave(*(answered(each) for each in attempts))
    async with life.database.transaction() as other:
        assert await roll_up(other, limit=7) == 7
        assert await rolled(life) == 0, "another is at it"
    await asyncio.gather(*(Roller(life.database).visit() for _ in range(3)))
    await Roller(life.database).visit()
    assert (await totals(life))["answered"]["calls"] == 60
    row = await life.one("SELECT sum(cost_nano)::int AS cost FROM usage_days")
    assert row.cost == (await life.money())[0], "the sums are those of the ledger"


async def test_a_job_is_pruned_with_its_calls_in_the_sums(life: Life) -> None:
    [attempt] = await life.started()
    await life.leave(answered(attempt))
    later = SystemClock().now().replace(year=2099)
    async with life.database.transaction() as other:
        assert await roll_up(other, limit=0) == 0, "it has the lock now"
        async with life.database.transaction() as connection:
            assert await prune(connection, Part.JOBS, later) is None
    async with life.database.transaction() as connection:
        gone = await prune(connection, Part.JOBS, later)
    assert gone is not None
    assert gone.count == 1
    assert (await totals(life))["answered"]["calls"] == 1


async def test_odd_words_of_callers_are_kept_as_they_are(life: Life) -> None:
    long = "".join(random.Random(3).choices([chr(n) for n in range(0x10000, 0x20000)], k=64))
    odd = replace(
        new_job(), tags=('a"b', "c\\d", "{e,f}", "", *map(long.replace, long, "12345678"))
    )
    [attempt] = await life.started(odd)
    await life.leave(answered(attempt))
    await rolled(life)
    row = await life.one("SELECT tags FROM usage_days")
    assert row.tags == sorted(odd.tags or ())


OLD_CALLS = """
SET session_replication_role = replica;
INSERT INTO attempts (id, job_id, tenant_id, epoch, deployment, queue, state, permit_tokens,
                      hold_nano, sent_at)
SELECT 'att_' || state, 'job_' || state, 'ten_a', 1, 'openai/gpt-4.1', 'openai', state, 1, 9,
       CASE WHEN state NOT IN ('planned', 'returned') THEN now() END
FROM unnest(ARRAY['planned', 'returned', 'sent', 'answered', 'refused', 'unknown']) AS state
"""


def test_calls_that_ended_before_there_were_sums_are_to_be_summed_up(servers: Servers) -> None:
    url = servers.create_database("before_usage")
    try:
        migrate(url, "0004")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(OLD_CALLS)
            migrate(url)
            rows = connection.execute(
                "SELECT attempt_id, was, cost_nano FROM usage_pending ORDER BY attempt_id"
            ).fetchall()
    finally:
        servers.drop_database("before_usage")
    assert rows == [(f"att_{state}", "sent", 0) for state in ("answered", "refused", "unknown")]
