"""What ended long ago is let go: space comes back, the ledger stays, nothing open is touched."""

import json
import random
import string
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from api.jobs.schemas import JobRead
from shared.db.budget_rows import cap_batches, list_budgets
from shared.db.budgets import read_version
from shared.db.prune import Part, count_prunable, prune
from shared.db.read import Filters, Page, list_jobs, read_job
from shared.domain.clock import SystemClock
from shared.domain.ids import IdKind, first_id, new_id
from shared.settings import RetentionSettings
from tests.life import TENANT, Life, answered, new_job
from tests.operations.conftest import Command
from worker.upkeep.pruner import Pruner

NOW = SystemClock().now()
OLD = timedelta(days=40)
CUTOFF = NOW - timedelta(days=30)
SIZE = """
SELECT sum(pg_total_relation_size(c.oid))::bigint AS size FROM pg_class c
WHERE relname IN ('jobs', 'attempts', 'payloads', 'results', 'events', 'idempotency_keys')
"""
TOLD_LONG_AGO = (
    "UPDATE events SET told_at = now(), at = now() - interval '31 days'",
    "UPDATE events SET told_at = NULL WHERE id = (SELECT max(id) FROM events)",
    """
INSERT INTO webhook_endpoints (id, tenant_id, name, url, event_types)
VALUES ('we_1', 'ten_a', 'hook', 'https://example.org', '{}')
""",
    """
INSERT INTO deliveries (id, tenant_id, endpoint_id, message_id, type, subject, body, state,
                        ended_at)
SELECT id, 'ten_a', 'we_1', 'evt_1', 'job.failed', 'job_1', '{}', state,
       now() - interval '31 days'
FROM (VALUES ('dlv_02', 'given_up'), ('dlv_00', 'pending'), ('dlv_01', 'delivered'),
             (CAST(:young AS text), 'delivered')) AS these(id, state)
""",
    """
INSERT INTO delivery_tries (delivery_id, number, milliseconds)
SELECT id, 1, 1 FROM deliveries
""",
)


def prompt() -> str:
    """Words that no compression makes small."""
    return "".join(random.choices(string.printable[:94], k=3000))


async def ended(life: Life, number: int, age: timedelta, *, key: str = "key") -> list[str]:
    """So many jobs that were made and answered so long ago, each with a key."""
    made = NOW - age
    jobs = [
        new_job(
            id=first_id(IdKind.JOB, made + timedelta(milliseconds=i)),
            request=json.dumps({"model": "gpt-4.1-mini", "messages": [prompt()], "max_tokens": 5}),
            metadata='{"who": "me"}',
            idempotency_key=f"{key} {i}",
        )
        for i in range(number)
    ]
    await life.accept(*jobs)
    started = await life.start(await life.release())
    result = json.dumps({"content": prompt()})
    await life.leave(*(answered(attempt, result=result) for attempt in started))
    async with life.database.transaction() as connection:
        await connection.execute(
            text("UPDATE jobs SET created_at = :at, finished_at = :at WHERE id = ANY(:ids)"),
            {"at": made, "ids": [job.id for job in jobs]},
        )
    return [job.id for job in jobs]


async def pruned(life: Life, part: Part, cutoff: datetime = CUTOFF) -> int:
    count, after = 0, ""
    while True:
        async with life.database.transaction() as connection:
            batch = await prune(connection, part, cutoff, after=after, limit=70)
        if batch is None:
            return count
        count, after = count + batch.count, batch.after


async def rows(life: Life, table: str) -> int:
    return int((await life.one(f"SELECT count(*) AS n FROM {table}")).n)


@pytest.fixture
async def plain(database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection without transactions, for VACUUM."""
    engine = create_async_engine(database_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def test_contents_go_and_the_job_its_cost_and_the_ledger_stay(life: Life) -> None:
    [old] = await ended(life, 1, OLD)
    [young] = await ended(life, 1, timedelta(days=1), key="young")
    before = await life.money()
    async with life.database.transaction() as connection:
        assert await count_prunable(connection, Part.CONTENTS, CUTOFF) == 1
    assert await pruned(life, Part.CONTENTS) == 1
    assert await pruned(life, Part.CONTENTS) == 0
    assert await life.money() == before
    async with life.database.transaction() as connection:
        row = await read_job(connection, TENANT, old)
        assert row is not None
        job = JobRead.of(row)
        assert (job.state, job.result, job.metadata) == ("succeeded", None, None)
        kept = await read_job(connection, TENANT, young)
        assert kept is not None
        assert JobRead.of(kept).result is not None
        page = Page(after=None, limit=10, descending=True, with_results=True)
        assert len(await list_jobs(connection, TENANT, Filters(), page)) == 2


async def test_whole_jobs_go_with_their_keys_and_the_ledgers_sums_stay(life: Life) -> None:
    await ended(life, 100, OLD)
    await ended(life, 1, timedelta(days=1), key="young")
    before, entries = await life.money(), await rows(life, "ledger")
    assert await pruned(life, Part.JOBS) == 100
    assert await life.money() == before
    assert await rows(life, "ledger") == entries
    for table in ("jobs", "attempts", "payloads", "results", "events", "idempotency_keys"):
        assert await rows(life, table) == 1, table
    [again] = await life.accept(new_job(idempotency_key="key 1"))
    assert not again.replayed, "a key counts as long as its job is kept"


async def test_a_job_that_has_not_ended_is_never_touched(life: Life) -> None:
    made = NOW - OLD
    waiting, running = (
        new_job(id=first_id(IdKind.JOB, made + timedelta(seconds=i))) for i in range(2)
    )
    await life.accept(running)
    await life.start(await life.release())
    await life.accept(waiting)
    for part in Part:
        assert await pruned(life, part, NOW) == 0
    assert await rows(life, "payloads") == 2


async def test_what_somebody_holds_is_passed_by(life: Life) -> None:
    first, _ = await ended(life, 2, OLD)
    async with life.database.transaction() as other:
        await other.execute(text("SELECT FROM jobs WHERE id = :id FOR UPDATE"), {"id": first})
        assert await pruned(life, Part.JOBS) == 1
    assert await pruned(life, Part.JOBS) == 1


async def test_space_comes_back(life: Life, plain: AsyncConnection) -> None:
    async def size() -> int:
        return int((await plain.execute(text(SIZE))).scalar_one())

    async def vacuum(how: str = "") -> None:
        for table in ("jobs", "attempts", "payloads", "results", "events", "idempotency_keys"):
            await plain.execute(text(f"VACUUM {how} {table}"))

    await ended(life, 900, OLD)
    await ended(life, 100, timedelta(days=1), key="young")
    await vacuum()
    full = await size()
    assert await pruned(life, Part.CONTENTS) == 900
    await vacuum()
    await ended(life, 900, timedelta(days=2), key="next")
    await vacuum()
    assert await size() < full * 1.25, "what was let go is used again"
    assert await pruned(life, Part.JOBS, NOW) == 1900
    await vacuum("FULL")
    emptied = await size()
    assert emptied < full / 20, "and the system gets it back when it is asked for"


async def test_the_upkeep_prunes_by_the_settings_alone(life: Life) -> None:
    await ended(life, 3, OLD)
    clock = SystemClock()
    await Pruner(life.database, RetentionSettings(), clock).visit()
    assert await rows(life, "payloads") == 3
    await Pruner(life.database, RetentionSettings(payload_days=30), clock).visit()
    assert (await rows(life, "payloads"), await rows(life, "jobs")) == (0, 3)
    await Pruner(life.database, RetentionSettings(job_days=30), clock).visit()
    assert await rows(life, "jobs") == 0


async def test_told_events_and_ended_deliveries_go_after_their_days(life: Life) -> None:
    await ended(life, 3, OLD)
    async with life.database.transaction() as connection:
        for statement in TOLD_LONG_AGO:
            await connection.execute(text(statement), {"young": new_id(IdKind.DELIVERY)})
    await Pruner(life.database, RetentionSettings(event_days=None), SystemClock()).visit()
    assert (await rows(life, "events"), await rows(life, "deliveries")) == (3, 4)
    await Pruner(life.database, RetentionSettings(), SystemClock()).visit()
    assert (await rows(life, "events"), await rows(life, "deliveries")) == (1, 2)
    assert await rows(life, "delivery_tries") == 2


async def test_the_command_counts_and_prunes(
    life: Life, database_url: str, promptmill: Command
) -> None:
    await ended(life, 3, OLD)
    counted = promptmill("prune", "--older-than", "30d", "--dry-run", database_url=database_url)
    assert counted.stdout == "would let go of the contents of 3 jobs\n", counted.stderr
    assert await rows(life, "payloads") == 3
    prune_jobs = ("prune", "--older-than", "30d", "--jobs")
    again = json.loads(
        promptmill(*prune_jobs, "--dry-run", "--json", database_url=database_url).stdout
    )
    assert again == {"count": 3, "of": "jobs", "dry_run": True}
    gone = promptmill(*prune_jobs, database_url=database_url)
    assert gone.stdout == "let go of 3 jobs\n", gone.stderr
    assert await rows(life, "jobs") == 0
    for wrong in ("soon", "0d", "99999999999d", "99999999w"):
        refused = promptmill("prune", "--older-than", wrong, database_url=database_url)
        assert (refused.returncode, f"--older-than {wrong}" in refused.stderr) == (2, True)


async def test_the_budget_of_a_batch_goes_with_its_last_job(life: Life) -> None:
    caps = {"gone": 1000, "young": 1000, "kept": 1000}
    async with life.database.transaction() as connection:
        await cap_batches(connection, TENANT, caps)
        before = await read_version(connection)
    async with life.database.transaction() as connection:
        await connection.execute(
            text("UPDATE budgets SET created_at = :at WHERE subject <> 'young'"), {"at": NOW - OLD}
        )
    [job_id] = await ended(life, 1, timedelta(days=1))
    async with life.database.transaction() as connection:
        await connection.execute(
            text("UPDATE jobs SET batch = 'kept' WHERE id = :id"), {"id": job_id}
        )
    await pruned(life, Part.JOBS)
    async with life.database.transaction() as connection:
        left = {
            row.budget.payer.subject for row in await list_budgets(connection, TENANT, house=False)
        }
        assert left == {"young", "kept"}
        assert await read_version(connection) > before
