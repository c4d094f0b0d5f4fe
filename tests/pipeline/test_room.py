"""Memory is given out in order, and comes back whoever leaves."""

import asyncio

import pytest

from worker.pipeline.room import Room


async def waiting(room: Room, size: int) -> asyncio.Task[None]:
    """Somebody who stands in line."""
    task = asyncio.create_task(room.take(size))
    await asyncio.sleep(0)
    return task


async def test_who_came_first_is_served_first() -> None:
    room = Room(10)
    await room.take(8)
    large, small = await waiting(room, 9), await waiting(room, 1)
    assert not small.done(), "it would fit, and the other would wait for ever"
    room.give(8)
    await large
    await small
    assert room.free == 0


async def test_who_leaves_the_line_makes_way() -> None:
    room = Room(10)
    await room.take(5)
    large, small = await waiting(room, 9), await waiting(room, 5)
    large.cancel()
    await small
    room.give(10)
    assert room.free == 10


async def test_who_is_served_and_leaves_at_once_gives_it_back() -> None:
    room = Room(10)
    await room.take(10)
    task = await waiting(room, 4)
    room.give(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert room.free == 10
