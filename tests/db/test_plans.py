"""What every job asks of Postgres finds its rows by indexes, though its plans are made once."""

from typing import Final

from sqlalchemy import text

from shared.db.caps import in_flight
from shared.db.engine import Database, Use
from shared.db.read import final_among, read_job
from tests.life import TENANT, Life, answered, new_job

GROWING: Final = {
    "jobs", "payloads", "results", "attempts", "ledger", "events", "idempotency_keys",
}  # fmt: skip
SCANS: Final = """
SELECT json_object_agg(relname, coalesce(seq_scan, 0)) AS scans FROM pg_stat_user_tables
"""
OPEN_INDEX: Final = """
SELECT idx_scan AS scans FROM pg_stat_user_indexes WHERE indexrelname = 'attempts_open'
"""
ROUNDS: Final = 3


async def scans(life: Life) -> dict[str, int]:
    """How often each table that grows was read whole."""
    found = (await life.one(SCANS)).scans
    return {table: found[table] for table in GROWING}


async def test_nothing_on_a_jobs_way_reads_a_growing_table_whole(
    life: Life, database_url: str
) -> None:
    await life.accept(*(new_job(route="another") for _ in range(2000)))
    async with life.database.transaction() as connection:
        await connection.execute(text("ANALYZE"))
    before = await scans(life)  # attempts, results and their like are empty: worth no index
    database = Database(database_url, use=Use(by_ids=True))
    way = Life(database)
    for number in range(ROUNDS):
        [accepted] = await way.accept(new_job(idempotency_key=f"key {number}"))
        started = await way.start(await way.release())
        await way.leave(*(answered(each) for each in started))
        async with database.transaction() as connection:
            assert await read_job(connection, TENANT, accepted.job_id) is not None
            assert list(await final_among(connection, [accepted.job_id])) == [accepted.job_id]
    await database.close()
    after = await scans(life)
    assert {table for table in GROWING if after[table] > before[table]} == set()


async def test_calls_in_flight_are_counted_by_the_index_of_the_open_ones(
    life: Life, database_url: str
) -> None:
    await life.leave(
        *(answered(each) for each in await life.started(*(new_job() for _ in range(50))))
    )
    await life.started()
    async with life.database.transaction() as connection:
        await connection.execute(text("ANALYZE"))
    before = await life.one(OPEN_INDEX)
    database = Database(database_url, use=Use(by_ids=True))
    for _ in range(ROUNDS):
        async with database.transaction() as connection:
            assert (await in_flight(connection, [TENANT]))[TENANT] == 1
    await database.close()
    assert (await life.one(OPEN_INDEX)).scans >= before.scans + ROUNDS
