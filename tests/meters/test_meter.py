"""The quota meter against a real Valkey: never above a limit, and nothing leaks."""

import asyncio
import random

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.catalog.deployments import Deployment
from shared.meters.counting import Want
from shared.meters.meter import SENTINEL, Grant, MemoryLostError, Meter, Slot
from tests.meters.asking import NUMBERS, PLENTY, QUEUE, deployment, ended, wants


async def filled(meter: Meter, place: Deployment) -> Grant:
    """Ask for one at a time until the first grant; it tells that the bucket has refilled."""
    while True:
        grant = await meter.acquire(place, QUEUE, PLENTY, wants(1))
        if grant.granted:
            return grant
        await asyncio.sleep(grant.wait)


async def test_without_limits_everything_goes(meter: Meter) -> None:
    grant = await meter.acquire(deployment(), QUEUE, PLENTY, wants(500))
    assert (grant.granted, grant.wait, grant.binding) == (500, 0.0, "")


async def test_rates_start_empty_and_the_wait_is_told(meter: Meter) -> None:
    grant = await meter.acquire(deployment(requests=60), QUEUE, PLENTY, wants(5))
    assert (grant.granted, grant.binding) == (0, "requests")
    assert 0.5 < grant.wait < 1.5


async def test_concurrency_is_never_exceeded_and_freed_slots_are_taken_again(meter: Meter) -> None:
    place = deployment(concurrency=3)
    asked = wants(5)
    grant = await meter.acquire(place, QUEUE, PLENTY, asked)
    assert (grant.granted, grant.binding, grant.wait) == (3, "concurrency", 0.0)
    await meter.settle([ended(asked[0], place)])
    assert (await meter.acquire(place, QUEUE, PLENTY, wants(5))).granted == 1


async def test_the_fleet_binds_over_all_deployments_of_a_queue(meter: Meter) -> None:
    assert (await meter.acquire(deployment(), QUEUE, 4, wants(9))).granted == 4
    grant = await meter.acquire(deployment(), QUEUE, 4, wants(9))
    assert (grant.granted, grant.binding) == (0, "workers")


async def test_a_permit_given_back_can_be_taken_at_once(meter: Meter) -> None:
    place = deployment(requests=100, tokens=1000, window=100)
    asked = wants(1)
    while not (await meter.acquire(place, QUEUE, PLENTY, asked)).granted:
        await asyncio.sleep(0.2)
    assert not (await meter.acquire(place, QUEUE, PLENTY, wants(1))).granted
    await meter.give_back(place, QUEUE, asked)
    await meter.give_back(place, QUEUE, asked)
    granted = [(await meter.acquire(place, QUEUE, PLENTY, wants(1))).granted for _ in range(2)]
    assert granted == [1, 0]


async def test_a_block_holds_for_all_and_a_shorter_one_does_not_end_it(
    meter: Meter, redis: Redis
) -> None:
    await meter.block("openai/m", 30.0)
    await meter.block("openai/m", 0.0)
    grant = await Meter(redis).acquire(deployment(), QUEUE, PLENTY, wants(1))
    assert (grant.granted, grant.binding) == (0, "blocked")
    assert 29 < grant.wait <= 30


async def test_an_emptied_redis_grants_nothing_before_the_slots_are_rebuilt(
    meter: Meter, redis: Redis
) -> None:
    place = deployment(concurrency=2)
    asked = wants(2)
    await meter.acquire(place, QUEUE, PLENTY, asked)
    await redis.flushall()
    with pytest.raises(MemoryLostError):
        await meter.acquire(place, QUEUE, PLENTY, wants(1))
    await meter.rebuild([Slot(want.attempt_id, place.id, QUEUE) for want in asked])
    grant = await meter.acquire(place, QUEUE, PLENTY, wants(1))
    assert (grant.granted, grant.binding) == (0, "concurrency")


async def test_a_meter_that_nobody_used_for_a_window_starts_full(
    meter: Meter, redis: Redis
) -> None:
    seconds, _ = await redis.time()
    await redis.set(SENTINEL, (seconds - 101) * 1_000_000)
    place = deployment(requests=1000, tokens=5000, window=100)
    grant = await meter.acquire(place, QUEUE, PLENTY, wants(50, tokens=1))
    assert (grant.granted, grant.binding) == (10, "requests")


async def test_an_unused_permit_leaves_the_window(meter: Meter, redis: Redis) -> None:
    """With the whole quota in the log and back, the next may have the whole of it again."""
    seconds, _ = await redis.time()
    await redis.set(SENTINEL, (seconds - 101) * 1_000_000)
    place = deployment(tokens=1000, window=100)
    for _ in range(3):
        asked = wants(1, tokens=5000)
        assert (await meter.acquire(place, QUEUE, PLENTY, asked)).granted == 1
        beyond = await meter.acquire(place, QUEUE, PLENTY, wants(1, tokens=1))
        assert (beyond.granted, beyond.binding) == (0, "tokens")
        assert beyond.wait > 95
        await meter.give_back(place, QUEUE, asked)


async def test_what_a_slow_turn_missed_is_caught_up(meter: Meter, redis: Redis) -> None:
    place = deployment(requests=500, window=1.0)
    await filled(meter, place)
    before = (await redis.time())[0]
    granted = 0
    while (await redis.time())[0] < before + 4:
        granted += (await meter.acquire(place, QUEUE, PLENTY, wants(500))).granted
        await asyncio.sleep(0.15)
    # A busy machine makes turns slower still. A bucket of a hundredth would let 150 go.
    assert granted > 3 * 500 * 0.85


async def test_a_doubtful_meter_takes_the_window_for_used_up(meter: Meter, redis: Redis) -> None:
    seconds, _ = await redis.time()
    await redis.set(SENTINEL, (seconds - 101) * 1_000_000)
    place = deployment(requests=1000, window=100)
    assert (await meter.acquire(place, QUEUE, PLENTY, wants(1))).granted == 1
    await redis.connection_pool.disconnect()
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(redis.connection_pool, "get_connection", _refused)
        with pytest.raises(RedisConnectionError):
            await meter.acquire(place, QUEUE, PLENTY, wants(1))
    grant = await meter.acquire(place, QUEUE, PLENTY, wants(1))
    assert (grant.granted, grant.binding) == (0, "requests")


async def _refused(*_: object, **__: object) -> None:
    raise RedisConnectionError


async def test_a_request_larger_than_the_bucket_passes_and_costs_what_it_is(meter: Meter) -> None:
    place = deployment(tokens=1000, window=1.0)
    large = wants(1, tokens=400)
    while not (await meter.acquire(place, QUEUE, PLENTY, large)).granted:
        await asyncio.sleep(0.02)
    assert (await meter.acquire(place, QUEUE, PLENTY, wants(1, tokens=400))).wait > 0.3


@pytest.mark.parametrize(
    ("limits", "largest"),
    [
        ({"requests": 200}, 1),
        ({"tokens": 20_000}, 300),
        ({"tokens": 20_000}, 3_000),
        ({"requests": 7}, 1),
        ({"requests": 300, "tokens": 15_000}, 200),
    ],
)
async def test_no_window_ever_admits_more_than_the_limit(
    meter: Meter, redis: Redis, limits: dict[str, float], largest: int
) -> None:
    """Eight wants at a time for three windows; every grant is noted with Redis' own time."""
    seed = random.randrange(1_000_000)
    dice, window = random.Random(seed), 1.0
    place = deployment("m", window=window, **limits)
    log: list[tuple[float, int]] = []
    began = None
    while began is None or log[-1][0] - began < 3 * window:
        asked = [Want(f"att_{next(NUMBERS)}", dice.randint(1, largest), 0) for _ in range(8)]
        grant = await meter.acquire(place, QUEUE, PLENTY, asked)
        # The script's own time: this machine may stall between two calls.
        at = int(await redis.hget("pm:meter:openai/m", "at") or 0) / 1e6
        began = began or at
        log.append((at, 0))
        log += [(at, want.tokens) for want in asked[: grant.granted]]
        if not grant.granted:
            await asyncio.sleep(grant.wait)
    granted = [(at, tokens) for at, tokens in log if tokens]
    assert granted, f"seed {seed}: nothing was granted"
    for i, (end, _) in enumerate(granted):
        inside = [tokens for at, tokens in granted[: i + 1] if at > end - window]
        assert not limits.get("requests") or len(inside) <= limits["requests"], f"seed {seed}"
        assert not limits.get("tokens") or sum(inside) <= limits["tokens"], f"seed {seed}"


async def test_a_renewed_slot_stays_and_a_freed_one_is_not_brought_back(
    meter: Meter, redis: Redis
) -> None:
    place = deployment(concurrency=5)
    asked = wants(2)
    await meter.acquire(place, QUEUE, PLENTY, asked)
    first, second = (Slot(want.attempt_id, place.id, QUEUE) for want in asked)
    await meter.settle([ended(asked[0], place)])
    await meter.renew([first, second])
    assert await redis.zrange("pm:slots:openai/m", 0, -1) == [second.attempt_id]
