"""What is left of a cap is counted from open attempts, under a lock that nobody waits for."""

from sqlalchemy import text

from shared.db.caps import Cap, hold_left, left, read_caps
from shared.db.release import due_jobs
from shared.domain.budget import Payer, Scope
from tests.life import ROUTE, TENANT, Life, answered, new_job
from worker.dispatch.caps import Caps

KEY = "key_a"
CAPS = {TENANT: Cap(TENANT, 5), KEY: Cap(TENANT, 2)}


async def cap(life: Life) -> None:
    """Five calls of the tenant, two of them of one key."""
    async with life.database.transaction() as connection:
        await connection.execute(
            text("UPDATE tenants SET max_running = 5 WHERE id = :id"), {"id": TENANT}
        )
        await connection.execute(
            text(
                "INSERT INTO api_keys (id, tenant_id, name, secret_hash, scopes, max_running)"
                " VALUES (:key, :id, 'slow', '', '{}', 2)"
            ),
            {"id": TENANT, "key": KEY},
        )


async def test_released_and_running_calls_count_and_ended_ones_do_not(life: Life) -> None:
    await cap(life)
    started = await life.started(new_job(key_id=KEY), new_job(), new_job(tenant_id="ten_b"))
    await life.accept(new_job())
    await life.release()
    async with life.database.transaction() as connection:
        assert await read_caps(connection) == CAPS
        assert await left(connection, CAPS) == {TENANT: 2, KEY: 1}
    await life.leave(*(answered(each) for each in started))
    async with life.database.transaction() as connection:
        assert await left(connection, CAPS) == {TENANT: 4, KEY: 2}


async def test_who_is_being_released_elsewhere_has_nothing_left_and_holds_nobody_up(
    life: Life,
) -> None:
    await cap(life)
    other = Cap("ten_b", 3)
    async with life.database.transaction() as first:
        assert await hold_left(first, CAPS) == {TENANT: 5, KEY: 2}
        async with life.database.transaction() as second:
            both = await hold_left(second, {**CAPS, "ten_b": other})
    assert both == {TENANT: 0, KEY: 0, "ten_b": 3}


async def test_only_what_fits_goes_and_a_cap_that_is_taken_away_counts_no_more(life: Life) -> None:
    await cap(life)
    await life.accept(*(new_job(key_id=KEY) for _ in range(4)), *(new_job() for _ in range(9)))
    caps = Caps()
    async with life.database.transaction() as connection:
        await caps.look(connection)
        due = await due_jobs(connection, ROUTE, 50)
        room = await caps.room(connection)
        fitting = room.fitting(due)
        within = await caps.within(connection, due)
        await connection.execute(text("UPDATE tenants SET max_running = NULL"))
        await connection.execute(text("UPDATE api_keys SET max_running = NULL"))
        await caps.look(connection)
        free = await caps.room(connection)
    assert [job.key_id for job in fitting] == [KEY, KEY, None, None, None]
    assert (room.refused, within) == (8, {job.id for job in fitting})
    assert free.fitting(due) == due


async def test_a_full_keys_jobs_do_not_hide_those_behind_them(life: Life) -> None:
    behind = new_job()
    await life.accept(*(new_job(key_id=KEY) for _ in range(20)))
    await life.accept(behind)
    async with life.database.transaction() as connection:
        [seen] = await due_jobs(connection, ROUTE, 3, full=[Payer(TENANT, Scope.KEY, KEY)])
    assert seen.id == behind.id
