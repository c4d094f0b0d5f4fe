"""One process at a time works on a batch, and only whoever has it may change it."""

from datetime import timedelta
from typing import Any

import pytest

from shared.db.batch_work import (
    Ending,
    Work,
    begin,
    claim,
    count_registered,
    end,
    finalize,
    let_go,
    reject,
    renew,
    stop_registration,
)
from shared.db.batches import NewBatch, add_batch, cancel_batch, drop_old_batches
from shared.db.prune import Part, prune
from shared.domain.batch import BatchState
from shared.domain.clock import SystemClock
from tests.life import TENANT, Life, new_job

ERRORS = [{"code": "c", "message": "m", "param": None, "line": None}]
FREE = "UPDATE batches SET lease_until = now() WHERE id = :id RETURNING 1"


async def made(life: Life, batch_id: str = "batch_1", seconds: int = 3600) -> None:
    new = NewBatch(
        id=batch_id,
        tenant_id=TENANT,
        key_id="key_1",
        dialect="openai",
        endpoint="/v1/chat/completions",
        input_file_id="file_1",
        window_seconds=seconds,
        options={},
        metadata=None,
    )
    async with life.database.transaction() as connection:
        await add_batch(connection, new)


async def claimed(life: Life, work: Work) -> Any:
    async with life.database.transaction() as connection:
        return await claim(connection, work)


def held(row: Any) -> dict[str, Any]:
    return {"id": row.id, "lease": row.lease_until}


async def step(life: Life, act: Any, row: Any, *arguments: Any, **more: Any) -> Any:
    """One move of whoever has that row's lease."""
    async with life.database.transaction() as connection:
        return await act(connection, held(row), *arguments, **more)


async def state(life: Life, batch_id: str = "batch_1") -> str:
    found = await life.one("SELECT state FROM batches WHERE id = :id", id=batch_id)
    return str(found.state)


def ending(state: BatchState) -> Ending:
    return Ending(
        state=state, output_file_id=None, error_file_id=None, completed=0, failed=0, usage={}
    )


async def test_what_one_has_claimed_is_not_another_s_until_its_lease_is_over(life: Life) -> None:
    await made(life)
    first = await claimed(life, Work.REGISTER)
    assert await claimed(life, Work.REGISTER) is None
    await life.all(FREE, id="batch_1")
    second = await claimed(life, Work.REGISTER)
    assert second.id == first.id
    async with life.database.transaction() as connection:
        assert await renew(connection, first.id, first.lease_until) is None
        assert await renew(connection, second.id, second.lease_until) is not None


@pytest.mark.parametrize("act", [begin, reject, stop_registration, finalize, count_registered, end])
async def test_who_has_lost_it_changes_nothing(life: Life, act: Any) -> None:
    await made(life)
    lost = await claimed(life, Work.REGISTER)
    await life.all(FREE, id="batch_1")
    await claimed(life, Work.REGISTER)
    before = await life.one("SELECT * FROM batches")
    asked: dict[Any, tuple[Any, ...]] = {
        reject: (ERRORS,), stop_registration: (ERRORS,), count_registered: (5,),
        end: (ending(BatchState.CANCELLED),),
    }  # fmt: skip
    more = {"total": 3, "model": None} if act is begin else {}
    assert not await step(life, act, lost, *asked.get(act, ()), **more)
    assert await life.one("SELECT * FROM batches") == before
    assert await life.all("SELECT FROM events") == []


async def test_a_batch_is_finished_when_its_last_job_has_ended(life: Life) -> None:
    await made(life)
    row = await claimed(life, Work.REGISTER)
    await step(life, begin, row, total=1, model="m")
    await life.accept(new_job(batch="batch_1"))
    await step(life, count_registered, row, 1)
    await life.all(FREE, id="batch_1")
    assert await claimed(life, Work.REGISTER) is None
    assert await claimed(life, Work.FINISH) is None
    await life.cancel((await life.one("SELECT id FROM jobs")).id)
    row = await claimed(life, Work.FINISH)
    await step(life, finalize, row)
    assert await step(life, end, row, ending(BatchState.COMPLETED))
    assert await state(life) == "completed"
    events = await life.all("SELECT type, tenant_id, told_at FROM events WHERE job_id = 'batch_1'")
    assert [tuple(each) for each in events] == [("batch.completed", TENANT, None)]
    assert await claimed(life, Work.FINISH) is None


async def test_a_batch_that_is_cancelled_while_its_files_are_written_is_cancelled(
    life: Life,
) -> None:
    await made(life)
    row = await claimed(life, Work.REGISTER)
    await step(life, begin, row, total=0, model=None)
    await step(life, finalize, row)
    async with life.database.transaction() as connection:
        assert await cancel_batch(connection, TENANT, "batch_1") is not None
        assert await cancel_batch(connection, "ten_b", "batch_1") is None
    assert not await step(life, end, row, ending(BatchState.COMPLETED))
    assert await step(life, end, row, ending(BatchState.CANCELLED))
    async with life.database.transaction() as connection:
        assert await cancel_batch(connection, TENANT, "batch_1") is None


async def test_who_lets_go_for_a_while_gives_others_their_turn(life: Life) -> None:
    await made(life, "batch_1")
    await made(life, "batch_2")
    first = await claimed(life, Work.REGISTER)
    async with life.database.transaction() as connection:
        await let_go(connection, first.id, first.lease_until, 0.0)
    second = await claimed(life, Work.REGISTER)
    assert {first.id, second.id} == {"batch_1", "batch_2"}


async def test_a_batch_that_ended_long_ago_is_let_go_of(life: Life) -> None:
    await made(life)
    row = await claimed(life, Work.REGISTER)
    assert await step(life, reject, row, ERRORS)
    now = SystemClock().now()
    async with life.database.transaction() as connection:
        assert await drop_old_batches(connection, now - timedelta(days=1)) == 0
        assert await drop_old_batches(connection, now + timedelta(days=1)) == 1
    assert await life.all("SELECT FROM batches") == []
    assert await life.all("SELECT FROM events WHERE job_id = 'batch_1'") == []


@pytest.mark.parametrize("part", list(Part))
async def test_what_a_batch_has_still_to_write_is_not_pruned(life: Life, part: Part) -> None:
    await made(life)
    [accepted] = await life.accept(new_job(batch="batch_1"))
    await life.cancel(accepted.job_id)
    later = SystemClock().now() + timedelta(days=1)
    async with life.database.transaction() as connection:
        assert await prune(connection, part, later) is None
    row = await claimed(life, Work.REGISTER)
    assert await step(life, reject, row, ERRORS)
    async with life.database.transaction() as connection:
        gone = await prune(connection, part, later)
    assert gone is not None
    assert gone.count == 1
