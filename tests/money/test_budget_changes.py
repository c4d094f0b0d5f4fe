"""A changed budget holds for the next release, and for none that was already on its way."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.db.budget_rows import (
    archive_budget,
    cap_batches,
    change_budget,
    create_budget,
    find_budget,
    is_time_zone,
)
from shared.db.budgets import hold, read_version, read_windows
from shared.db.release import Permit, release
from shared.domain.budget import AtLimit, Budget, Every, Payer, Scope
from shared.domain.ids import IdKind, new_id
from tests.life import TENANT, Life, new_job
from tests.mill import eventually

BUDGET = Budget(
    id="bud_1", name="all", payer=Payer(TENANT, Scope.ALL), cap_nano=100, every=Every.MONTH,
    time_zone="Europe/Berlin", at_limit=AtLimit.PARK, alerts=(75,),
)  # fmt: skip


@pytest.fixture
async def kept(life: Life) -> Life:
    """With one budget."""
    async with life.database.transaction() as connection:
        assert await create_budget(connection, BUDGET)
    return life


async def change(life: Life, budget: Budget) -> None:
    async with life.database.transaction() as connection:
        await change_budget(connection, budget)


async def held_up(life: Life) -> bool:
    """Whether some statement of this database waits for another's lock."""
    row = await life.one(
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(row.n)


async def test_a_change_waits_for_the_release_that_holds_the_window(kept: Life) -> None:
    async with kept.database.transaction() as connection:
        windows = await read_windows(connection, [BUDGET.id], lock=True)
        changing = asyncio.create_task(change(kept, replace(BUDGET, cap_nano=50)))
        await eventually("the change waits", lambda: held_up(kept))
        await hold(connection, {windows[BUDGET.id].id: 80})
        assert not changing.done()
    await changing
    async with kept.database.transaction() as connection:
        found = await find_budget(connection, TENANT, BUDGET.id, house=False)
        assert found is not None
        assert (found.budget.cap_nano, found.held_nano, found.left_nano) == (50, 80, 0)


@pytest.mark.parametrize("how", ["created", "changed", "archived", "of a batch"])
async def test_nothing_is_released_by_the_list_from_before(kept: Life, how: str) -> None:
    [accepted] = await kept.accept(new_job())
    permit = Permit(
        job_id=accepted.job_id, attempt_id=new_id(IdKind.ATTEMPT), deployment="openai/m",
        queue="openai", permit_tokens=15, hold_nano=1,
    )  # fmt: skip
    async with kept.database.transaction() as connection:
        before = await read_version(connection)
    async with kept.database.transaction() as connection:
        steps = {
            "created": create_budget(connection, replace(BUDGET, id="bud_2", name="other")),
            "changed": change_budget(connection, replace(BUDGET, cap_nano=7)),
            "archived": archive_budget(connection, BUDGET.id),
            "of a batch": cap_batches(connection, TENANT, {"b": 5}),
        }
        await steps.pop(how)
        for other in steps.values():
            other.close()
    async with kept.database.transaction() as connection:
        assert await release(connection, [permit], budgets_version=before) == set()
        now = await read_version(connection)
        assert await release(connection, [permit], budgets_version=now) == {permit.attempt_id}


async def test_a_batch_keeps_its_first_cap_whoever_comes_at_once(life: Life) -> None:
    async def cap(nano: int) -> dict[str, int]:
        async with life.database.transaction() as connection:
            return await cap_batches(connection, TENANT, {"x": nano, "y": 9})

    caps = await asyncio.gather(*(cap(nano) for nano in (3, 4, 5, 6)))
    assert len({each["x"] for each in caps}) == 1
    row = await life.one("SELECT count(*) AS n FROM budgets WHERE scope = 'batch'")
    assert row.n == 2


async def test_one_name_is_one_living_budget_of_its_owner(kept: Life) -> None:
    again = replace(BUDGET, id="bud_2")
    house = replace(again, id="bud_3", payer=Payer(None, Scope.ALL))
    async with kept.database.transaction() as connection:
        assert not await create_budget(connection, again)
        assert await create_budget(connection, house)
        assert not await create_budget(connection, replace(house, id="bud_4"))
        await archive_budget(connection, BUDGET.id)
        assert await create_budget(connection, again)
    with pytest.raises(IntegrityError):
        async with kept.database.transaction() as connection:
            await connection.execute(text("UPDATE budgets SET cap_nano = -1"))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
async def test_time_zones_have_their_iana_names(life: Life, zone: str) -> None:
    async with life.database.transaction() as connection:
        assert await is_time_zone(connection, zone)
        for wrong in (zone.lower(), f"{zone}+1", "EST", "posix/UTC"):
            assert not await is_time_zone(connection, wrong)
