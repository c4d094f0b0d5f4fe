"""Batches: at once when idle, together when busy, and each error to its own submitters."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest

from worker.pipeline.batcher import Batcher

LONG = 60.0
"""Seconds that no test waits: only a flush before its time lets it pass."""


class Flushes:
    """Keeps each batch; a gate holds them until it is opened."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if any(item < 0 for item in items):
            raise ValueError(f"refused {list(items)}")
        return [item * 10 for item in items]


def batcher(flush: Flushes, *, rows: int = 100, after: float = 0.0) -> Batcher[int, int]:
    return Batcher[int, int](flush, rows=rows, after=after)


async def submitted(desk: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    """Tasks that have put their items in."""
    tasks = [asyncio.create_task(desk.submit(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_an_idle_desk_flushes_at_once() -> None:
    flush = Flushes()
    began = monotonic()
    assert await batcher(flush, after=LONG).submit(4) == 40
    assert monotonic() - began < 1
    assert flush.batches == [[4]]


async def test_what_comes_together_goes_together_in_the_order_of_its_coming() -> None:
    flush = Flushes()
    desk = batcher(flush)
    assert await asyncio.gather(*map(desk.submit, range(50))) == [n * 10 for n in range(50)]
    assert flush.batches == [list(range(50))]


async def test_what_comes_while_one_batch_is_written_goes_with_the_next() -> None:
    flush = Flushes()
    desk = batcher(flush)
    flush.gate.clear()
    first = await submitted(desk, 1)
    await asyncio.sleep(0)
    later = [task for item in (2, 3, 4) for task in await submitted(desk, item)]
    assert flush.batches == [[1]]
    flush.gate.set()
    assert await asyncio.gather(*first, *later) == [10, 20, 30, 40]
    assert flush.batches == [[1], [2, 3, 4]]


async def test_no_batch_is_larger_than_its_limit_and_nothing_is_left_behind() -> None:
    flush = Flushes()
    desk = batcher(flush, rows=20)
    await asyncio.gather(*map(desk.submit, range(95)))
    assert [len(batch) for batch in flush.batches] == [20, 20, 20, 20, 15]
    assert [item for batch in flush.batches for item in batch] == list(range(95))


async def test_a_full_batch_does_not_wait_for_its_time() -> None:
    flush = Flushes()
    desk = batcher(flush, rows=3, after=LONG)
    await desk.submit(0)
    tasks = await submitted(desk, 1, 2)
    await asyncio.sleep(0)
    assert flush.batches == [[0]], "two of three wait for company"
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, desk.submit(3))
    assert flush.batches == [[0], [1, 2, 3]]


async def test_a_busy_desk_waits_a_little_for_company() -> None:
    flush = Flushes()
    desk = batcher(flush, after=0.05)
    await desk.submit(0)
    began = monotonic()
    tasks = await submitted(desk, 1)
    tasks += await submitted(desk, 2)
    await asyncio.gather(*tasks)
    assert flush.batches == [[0], [1, 2]]
    assert 0.03 < monotonic() - began < 1


async def test_an_error_reaches_all_submitters_of_its_batch_and_only_them() -> None:
    flush = Flushes()
    desk = batcher(flush, rows=2)
    ends = await asyncio.gather(*map(desk.submit, (1, 2, 3, -4, 5)), return_exceptions=True)
    assert (ends[0], ends[1], ends[4]) == (10, 20, 50)
    for end in ends[2:4]:
        assert isinstance(end, ValueError)
        assert str(end) == "refused [3, -4]"
    assert await desk.submit(6) == 60, "the desk goes on"


async def test_a_submitter_that_goes_away_takes_nothing_with_it() -> None:
    flush = Flushes()
    desk = batcher(flush)
    flush.gate.clear()
    [gone, stays] = await submitted(desk, 1, 2)
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    flush.gate.set()
    assert await stays == 20
    assert flush.batches == [[1, 2]], "its item was handed over and is written"
