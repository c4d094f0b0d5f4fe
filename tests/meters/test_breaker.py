"""The breaker: who fails too often is left alone, and one call finds out when that is over."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from shared.domain.failure import BLAME, Blame, FailureKind
from shared.meters.breaker import BreakerState
from shared.meters.meter import SENTINEL, Meter
from shared.settings import BreakerSettings
from tests.meters.asking import PLENTY, QUEUE, deployment, ended, wants

QUICK = BreakerSettings(shortest=0.1, longest=0.3, probe=0.2)
PLACE = deployment()


@pytest.fixture
async def meters(redis: Redis) -> list[Meter]:
    """Of two workers."""
    found = [Meter(redis, QUICK) for _ in range(2)]
    await found[0].rebuild([])
    return found


async def hear(meter: Meter, blames: Sequence[Blame]) -> None:
    """Calls that go and end so."""
    asked = wants(len(blames))
    await meter.acquire(PLACE, QUEUE, PLENTY, asked)
    ends = zip(asked, blames, strict=True)
    await meter.settle([ended(want, PLACE, blame=blame) for want, blame in ends])


async def state(meter: Meter) -> BreakerState:
    return (await meter.breaker.states([PLACE.id]))[PLACE.id].state


def test_every_failure_says_something_about_the_provider_or_nothing() -> None:
    assert BLAME.keys() == set(FailureKind)
    answers = {FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN, FailureKind.BAD_REQUEST}
    assert {BLAME[kind] for kind in answers} == {Blame.ANSWERED}


@pytest.mark.parametrize(
    ("blames", "opens"),
    [
        ([Blame.FAILED] * 9, False),
        ([Blame.FAILED] * 10, True),
        ([Blame.ANSWERED] * 6 + [Blame.FAILED] * 5, False),
        ([Blame.ANSWERED] * 5 + [Blame.FAILED] * 5, True),
        ([Blame.NOTHING] * 20 + [Blame.FAILED] * 4, False),
    ],
)
async def test_it_opens_when_enough_calls_and_half_of_them_failed(
    meters: list[Meter], blames: list[Blame], *, opens: bool
) -> None:
    await hear(meters[0], blames)
    assert (await state(meters[1]) is not BreakerState.CLOSED) is opens


async def test_while_open_nobody_may_go_and_the_wait_is_told(redis: Redis) -> None:
    meter = Meter(redis)
    await meter.rebuild([])
    await hear(meter, [Blame.FAILED] * 10)
    grant = await Meter(redis).acquire(PLACE, QUEUE, PLENTY, wants(3))
    standing = (await meter.breaker.states([PLACE.id]))[PLACE.id]
    assert (grant.granted, grant.binding, standing.state) == (0, "breaker", BreakerState.OPEN)
    assert 7 < grant.wait <= 12
    assert 7 < standing.seconds <= 12


async def test_one_probe_of_all_workers_goes_and_its_success_closes(meters: list[Meter]) -> None:
    await hear(meters[0], [Blame.FAILED] * 10)
    await asyncio.sleep(0.13)
    asked = [wants(4) for _ in meters]
    grants = [
        await meter.acquire(PLACE, QUEUE, PLENTY, each)
        for meter, each in zip(meters, asked, strict=True)
    ]
    assert [(grant.granted, grant.binding) for grant in grants] == [(1, "breaker"), (0, "breaker")]
    assert await state(meters[1]) is BreakerState.HALF_OPEN
    await meters[0].settle([ended(asked[0][0], PLACE, blame=Blame.ANSWERED)])
    assert (await meters[1].acquire(PLACE, QUEUE, PLENTY, wants(4))).granted == 4


async def test_a_probe_that_fails_opens_for_longer_up_to_a_bound(meters: list[Meter]) -> None:
    await hear(meters[0], [Blame.FAILED] * 10)
    pauses = []
    for _ in range(3):
        pause = (await meters[0].breaker.states([PLACE.id]))[PLACE.id].seconds
        pauses.append(pause)
        await asyncio.sleep(pause + 0.01)
        await hear(meters[0], [Blame.FAILED])
    assert 0.05 < pauses[0] <= 0.12
    assert 0.13 < pauses[1] <= 0.24
    assert 0.2 < pauses[2] <= 0.36


async def test_a_probe_that_is_never_heard_of_makes_way_for_another(meters: list[Meter]) -> None:
    await hear(meters[0], [Blame.FAILED] * 10)
    await asyncio.sleep(0.13)
    assert (await meters[0].acquire(PLACE, QUEUE, PLENTY, wants(1))).granted == 1
    waiting = await meters[1].acquire(PLACE, QUEUE, PLENTY, wants(1))
    assert (waiting.granted, waiting.binding) == (0, "breaker")
    await asyncio.sleep(waiting.wait + 0.01)
    assert (await meters[1].acquire(PLACE, QUEUE, PLENTY, wants(1))).granted == 1


async def test_a_probe_that_was_never_sent_leaves_its_place(meters: list[Meter]) -> None:
    await hear(meters[0], [Blame.FAILED] * 10)
    await asyncio.sleep(0.13)
    asked = wants(1)
    await meters[0].acquire(PLACE, QUEUE, PLENTY, asked)
    await meters[0].give_back(PLACE, QUEUE, asked)
    assert (await meters[1].acquire(PLACE, QUEUE, PLENTY, wants(1))).granted == 1


async def test_calls_from_before_it_opened_change_nothing(meters: list[Meter]) -> None:
    early = wants(2)
    await meters[0].acquire(PLACE, QUEUE, PLENTY, early)
    await hear(meters[0], [Blame.FAILED] * 10)
    before = (await meters[0].breaker.states([PLACE.id]))[PLACE.id]
    late = zip(early, (Blame.ANSWERED, Blame.FAILED), strict=True)
    await meters[0].settle([ended(want, PLACE, blame=blame) for want, blame in late])
    after = (await meters[0].breaker.states([PLACE.id]))[PLACE.id]
    assert (after.opened, after.state) == (before.opened, before.state)


async def test_an_emptied_redis_hears_of_the_newest_ends(redis: Redis) -> None:
    meter = Meter(redis)
    await meter.rebuild([], outcomes={PLACE.id: [Blame.FAILED] * 12})
    assert await redis.exists(SENTINEL)
    grant = await meter.acquire(PLACE, QUEUE, PLENTY, wants(1))
    assert (grant.granted, grant.binding) == (0, "breaker")
