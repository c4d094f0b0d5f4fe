"""The workers' own roller: after a kill, too, usage is what the ledger says was spent."""

import signal
from collections.abc import AsyncIterator

import pytest

from tests.mill import PLAIN, Mill, eventually, running_mill

JOBS = 120
SUMS = """
SELECT (SELECT count(*) FROM usage_pending) AS pending,
       coalesce(sum(calls), 0)::int AS calls, coalesce(sum(cost_nano), 0)::bigint AS cost_nano,
       coalesce(sum(output_tokens), 0)::int AS output,
       coalesce(sum(calls) FILTER (WHERE outcome = 'answered'), 0)::int AS answered
FROM {table}
"""
CLOSED = """
SELECT count(*)::int AS calls, sum(cost_nano)::bigint AS cost_nano,
       sum((usage->>'output_tokens')::int) FILTER (WHERE state = 'answered')::int AS output
FROM attempts WHERE state NOT IN ('planned', 'returned', 'sent')
"""


@pytest.fixture
async def mill(database_url: str, redis_url: str) -> AsyncIterator[Mill]:
    async with running_mill(database_url, redis_url, catalog=PLAIN) as mill:
        await mill.start_simulator(**{"latency-ms": 400})
        yield mill


async def test_the_sums_are_those_of_the_ledger_after_a_kill(mill: Mill) -> None:
    accepted = await mill.submit(JOBS)
    doomed = await mill.start_worker(slots=30)
    await mill.in_state("running", 10)
    await mill.start_worker()
    doomed.send_signal(signal.SIGKILL)
    await mill.all_final()
    await mill.check(accepted, rejected=None)
    spent, _ = await mill.life.money()

    async def summed_up() -> bool:
        row = await mill.life.one(SUMS.format(table="usage_minutes"))
        return bool(row.pending == 0 and row.calls)

    await eventually("all is summed up", summed_up, within=30.0)
    closed = await mill.life.one(CLOSED)
    for table in ("usage_minutes", "usage_hours", "usage_days"):
        row = await mill.life.one(SUMS.format(table=table))
        assert (row.calls, row.cost_nano, row.output) == tuple(closed), table
        assert (row.answered, row.cost_nano) == (JOBS, spent), table
