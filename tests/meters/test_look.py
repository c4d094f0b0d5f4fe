"""Who only looks is told what it would wait for, and takes nothing."""

import asyncio

import pytest

from shared.meters.meter import Meter
from tests.meters.asking import PLENTY, QUEUE, deployment, ended, wants


async def test_a_look_tells_the_limit_that_binds_and_takes_nothing(rested: Meter) -> None:
    place = deployment(requests=100, concurrency=2)
    [want] = wants(1)
    for _ in range(5):
        look = await rested.look(place, QUEUE, PLENTY, want)
        assert (look.granted, look.wait, look.binding) == (0, 0.0, "")
    grant = await rested.acquire(place, QUEUE, PLENTY, wants(1))
    assert grant.granted == 1
    spent = await rested.look(place, QUEUE, PLENTY, want)
    assert spent.binding == "requests"
    assert 0.0 < spent.wait < 1.0


async def test_refusals_in_a_row_double_their_pause_until_an_answer_comes(meter: Meter) -> None:
    place, asked = deployment(), 0.2

    async def pause() -> float:
        await meter.block(place.id, asked, longest=1.0)
        told = (await meter.look(place, QUEUE, PLENTY, wants(1)[0])).wait
        await meter.block(place.id, asked, longest=1.0)
        same_wave = (await meter.look(place, QUEUE, PLENTY, wants(1)[0])).wait
        # What a later refusal of the wave asks for, it asks for from then on.
        assert same_wave <= max(told, asked), "one wave of refusals counts once"
        await asyncio.sleep(told + 0.002)
        return told

    pauses = [await pause() for _ in range(4)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.0], abs=0.1)
    [want] = wants(1)
    await meter.acquire(place, QUEUE, PLENTY, [want])
    await meter.settle([ended(want, place, answered=True)])
    assert await pause() == pytest.approx(0.2, abs=0.1)


async def test_after_a_refusal_one_attempt_finds_out_for_the_others(meter: Meter) -> None:
    place = deployment()
    await meter.block(place.id, 0.05)
    asked = wants(3)
    while not (grant := await meter.acquire(place, QUEUE, PLENTY, asked)).granted:
        await asyncio.sleep(grant.wait)
    assert (grant.granted, grant.binding) == (1, "blocked")
    assert 4 < grant.wait <= 5
    assert not (await meter.acquire(place, QUEUE, PLENTY, asked[1:])).granted
    await meter.settle([ended(asked[0], place, answered=True)])
    assert (await meter.acquire(place, QUEUE, PLENTY, asked[1:])).granted == 2


async def test_a_look_sees_a_rest_and_a_full_fleet(rested: Meter) -> None:
    place = deployment(concurrency=1)
    [want] = wants(1)
    assert (await rested.look(place, QUEUE, 0, want)).binding == "workers"
    await rested.acquire(place, QUEUE, PLENTY, wants(1))
    assert (await rested.look(place, QUEUE, PLENTY, want)).binding == "concurrency"
    await rested.block(place.id, 30)
    resting = await rested.look(place, QUEUE, PLENTY, want)
    assert resting.binding == "blocked"
    assert 29 < resting.wait <= 30
