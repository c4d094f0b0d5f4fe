"""Each provider's way of counting: what a call takes, and what it turned out to be."""

import asyncio
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from shared.catalog.deployments import Deployment
from shared.catalog.limits import Counting, Limits, day_around
from shared.domain.generation import Usage
from shared.meters.counting import RULES, Learned, Want
from shared.meters.gauges import gauges_of
from shared.meters.meter import DayCount, MemoryLostError, Meter
from tests.meters.asking import PLENTY, QUEUE, deployment, ended, used, wants

WANT = Want("att_1", 100, 400)
USAGE = Usage(input_tokens=90, cached_tokens=60, cache_write_tokens=20, output_tokens=50)


async def counted(redis: Redis, place: Deployment, gauge: str) -> int:
    return int(await redis.hget(f"pm:gauge:{place.id}:{gauge}", "used") or 0)


def test_every_way_of_counting_has_its_rule() -> None:
    assert RULES.keys() == set(Counting)


@pytest.mark.parametrize(
    ("counts", "needs", "truth"),
    [
        ("reserved", {"tokens": 500, "input_tokens": 100, "output_tokens": 400}, {}),
        (
            "metered",
            {"tokens": 500, "input_tokens": 100, "output_tokens": 400},
            {"tokens": 80, "input_tokens": 30, "output_tokens": 50},
        ),
        (
            "input",
            {"tokens": 100, "input_tokens": 100, "output_tokens": 400},
            {"tokens": 90, "input_tokens": 90, "output_tokens": 50},
        ),
    ],
)
def test_what_a_call_needs_and_what_it_used(
    counts: str, needs: dict[str, int], truth: dict[str, int]
) -> None:
    rule = RULES[Counting(counts)]
    assert (rule.needs(WANT, Learned()), rule.used(USAGE)) == (needs, truth)


def test_what_was_learned_changes_the_estimates_but_not_what_is_reserved_by_the_provider() -> None:
    learned = Learned(input=1.5, output=0.1)
    assert RULES[Counting.RESERVED].needs(WANT, learned)["tokens"] == 150 + 400
    assert RULES[Counting.METERED].needs(WANT, learned)["output_tokens"] == 40


def test_a_pro_rata_window_never_has_more_than_its_part() -> None:
    limits = Limits(requests=1000, short_windows=(1, 10, 0.01))
    found = {gauge.name: gauge.limit for gauge in gauges_of(limits, 0)}
    assert found == {
        "requests": 1000,
        "requests_in_1_seconds": 16,
        "requests_in_10_seconds": 166,
        "requests_in_0.01_seconds": 1,
    }


def test_a_day_ends_at_the_midnight_of_its_zone_even_when_the_clocks_change() -> None:
    before = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    first = day_around(before, "America/Los_Angeles")
    longest = day_around(datetime(2026, 11, 1, 12, tzinfo=UTC), "America/Los_Angeles")
    assert [each.astimezone(UTC).hour for each in first] == [7, 7]
    assert longest[1].timestamp() - longest[0].timestamp() == 25 * 3600


async def test_usage_takes_the_place_of_the_estimate_where_the_rule_says_so(
    rested: Meter, redis: Redis
) -> None:
    place = deployment(counts=Counting.METERED, input_tokens=10_000, output_tokens=10_000)
    (want,) = wants(1, 100, most=400)
    assert (await rested.acquire(place, QUEUE, PLENTY, [want])).granted == 1
    taken = [await counted(redis, place, each) for each in ("input_tokens", "output_tokens")]
    for _ in range(2):
        truth = used(input_tokens=30, output_tokens=50)
        await rested.settle([ended(want, place, used=truth)])
    settled = [await counted(redis, place, each) for each in ("input_tokens", "output_tokens")]
    assert (taken, settled) == ([100, 400], [30, 50])


async def test_output_that_was_written_holds_the_next_back_for_a_window_from_its_end(
    rested: Meter,
) -> None:
    """The call took longer than the window: what it was foreseen to write has been forgotten."""
    place = deployment(counts=Counting.METERED, output_tokens=1000, window=0.2)
    (want,) = wants(1, 1, most=10)
    await rested.acquire(place, QUEUE, PLENTY, [want])
    await asyncio.sleep(0.4)
    truth = used(output_tokens=1000)
    await rested.settle([ended(want, place, used=truth)])
    grant = await rested.acquire(place, QUEUE, PLENTY, wants(1, 1, most=10))
    assert (grant.granted, grant.binding) == (0, "output_tokens")
    await asyncio.sleep(grant.wait)
    assert (await rested.acquire(place, QUEUE, PLENTY, wants(1, 1, most=10))).granted == 1


async def test_predictions_follow_usage_quickly_up_and_slowly_down(rested: Meter) -> None:
    place = deployment(counts=Counting.METERED, input_tokens=10**9, output_tokens=10**9)
    await _call(rested, place, 5, reported=150)
    higher = await _learned(rested, place)
    await _call(rested, place, 5, reported=50)
    lower = await _learned(rested, place)
    assert 1.4 < higher.input < 1.51
    assert 1.3 < lower.input < higher.input
    assert 0.1 < lower.output < higher.output < 1.0


async def test_a_first_guess_that_was_never_too_low_gives_way_to_what_is_reported(
    rested: Meter,
) -> None:
    """A tenth of a quota would be lost for hundreds of calls to a cautious estimate."""
    place = deployment(input_tokens=10**9)
    await _call(rested, place, 9, reported=60)
    guess = await _learned(rested, place)
    assert guess.input == pytest.approx(0.64, abs=0.002), "the mean of ten: 1 and nine times 0.6"
    await _call(rested, place, 1, reported=100)
    higher = await _learned(rested, place)
    await _call(rested, place, 5, reported=60)
    assert 0.72 < (await _learned(rested, place)).input < higher.input


async def test_a_twentieth_of_what_is_foreseen_goes_at_once_and_more_until_calls_have_told(
    rested: Meter,
) -> None:
    """Calls that go together end together, otherwise than was foreseen."""
    place = deployment(counts=Counting.METERED, output_tokens=1000, window=3.0)
    asked = wants(40, 1, most=10)
    first = await rested.acquire(place, QUEUE, PLENTY, asked)
    assert first.granted == 5 + 8, "nobody knows yet what they write"
    told = 0
    while told < 30:
        grant = await rested.acquire(place, QUEUE, PLENTY, asked[told : told + 1])
        await asyncio.sleep(grant.wait)
        for want in asked[told : told + grant.granted]:
            await rested.settle([ended(want, place, input_tokens=1, output_tokens=10)])
        told += grant.granted
    await asyncio.sleep(0.5)  # a rest, in which more would come together
    assert (await rested.acquire(place, QUEUE, PLENTY, wants(40, 1, most=10))).granted == 5


async def _call(meter: Meter, place: Deployment, times: int, *, reported: int) -> None:
    """So many calls of an estimated 100 tokens, one after the other."""
    for _ in range(times):
        (want,) = wants(1, 100, most=1000)
        await meter.acquire(place, QUEUE, PLENTY, [want])
        await meter.settle([ended(want, place, input_tokens=reported, output_tokens=100)])


async def _learned(meter: Meter, place: Deployment) -> Learned:
    await meter.acquire(place, QUEUE, 0, wants(1))
    return meter._learned[place.id]  # noqa: SLF001 - what the next question will say


@pytest.mark.parametrize("counts", list(Counting))
async def test_what_the_provider_never_saw_comes_back_and_what_failed_does_not(
    rested: Meter, redis: Redis, counts: Counting
) -> None:
    place = deployment(counts=counts, requests=1000)
    asked = wants(2, 100, most=400)
    assert (await rested.acquire(place, QUEUE, PLENTY, asked)).granted == 2
    await rested.settle([ended(asked[0], place, sent=False), ended(asked[1], place)])
    assert await counted(redis, place, "requests") == 1
    assert await redis.hlen(f"pm:taken:{place.id}") == 0


async def test_a_second_and_its_parts_bind_beside_the_window(rested: Meter) -> None:
    place = deployment(requests=600, window=60, short_windows=(0.5,))
    granted = (await rested.acquire(place, QUEUE, PLENTY, wants(20))).granted
    grant = await rested.acquire(place, QUEUE, PLENTY, wants(20))
    assert (granted, grant.granted, grant.binding) == (5, 0, "requests_in_0.5_seconds")
    assert 0 < grant.wait <= 0.55


async def test_a_day_is_over_at_midnight_and_what_went_about_it_counts_for_both(
    rested: Meter, redis: Redis
) -> None:
    place = deployment(requests_per_day=3)
    key = f"pm:gauge:{place.id}:requests_per_day"
    assert (await rested.acquire(place, QUEUE, PLENTY, wants(2))).granted == 2
    now = (await redis.time())[0]
    await redis.hset(key, "until", str((now + 2) * 1_000_000))
    grant = await rested.acquire(place, QUEUE, PLENTY, wants(2))
    assert (grant.granted, grant.binding) == (1, "requests_per_day")
    assert 5 < grant.wait < 8
    await redis.hset(key, "until", str((now - 6) * 1_000_000))
    assert (await rested.acquire(place, QUEUE, PLENTY, wants(5))).granted == 2


async def test_an_emptied_redis_is_told_what_the_day_has_had(meter: Meter, redis: Redis) -> None:
    place = deployment(requests_per_day=10)
    await redis.flushall()
    with pytest.raises(MemoryLostError):
        await meter.acquire(place, QUEUE, PLENTY, wants(1))
    now = (await redis.time())[0]
    day = DayCount(place.id, 8, (now - 3600) * 1_000_000, (now + 3600) * 1_000_000)
    await meter.rebuild([], days=[day])
    grant = await meter.acquire(place, QUEUE, PLENTY, wants(5))
    assert (grant.granted, grant.binding) == (2, "requests_per_day")


@pytest.mark.parametrize(("remaining", "left"), [(0, 0), (40, 40), (500, 50)])
async def test_what_others_used_of_the_quota_is_taken_as_used_and_never_gives_more(
    rested: Meter, redis: Redis, remaining: int, left: int
) -> None:
    place = deployment(tokens=100, window=100)
    (want,) = wants(1, 50)
    await rested.acquire(place, QUEUE, PLENTY, [want])
    await rested.settle([ended(want, place, remaining=used(tokens=remaining))])
    assert 100 - await counted(redis, place, "tokens") == left


async def test_slow_down_halves_the_pace_once_for_all_workers(rested: Meter, redis: Redis) -> None:
    place = deployment(requests=6000, window=60)
    while (await rested.acquire(place, QUEUE, PLENTY, wants(50))).granted:
        pass
    usual = (await rested.acquire(place, QUEUE, PLENTY, wants(1))).wait
    for _ in range(3):
        await Meter(redis).slow_down(place.id)
    while (await rested.acquire(place, QUEUE, PLENTY, wants(50))).granted:
        pass
    assert await redis.hget(f"pm:meter:{place.id}", "cut") == "500"
    minutes = 3 * 60_000_000
    cut_at = int(await redis.hget(f"pm:meter:{place.id}", "cut_at") or 0)
    await redis.hset(f"pm:meter:{place.id}", "cut_at", str(cut_at - minutes))
    await rested.slow_down(place.id)
    assert await redis.hget(f"pm:meter:{place.id}", "cut") == "400"
    assert usual <= 0.011


async def test_a_limit_that_is_new_to_a_busy_deployment_starts_empty(rested: Meter) -> None:
    await rested.acquire(deployment(requests=1000, window=100), QUEUE, PLENTY, wants(5))
    place = deployment(requests=1000, tokens=5000, window=100)
    grant = await rested.acquire(place, QUEUE, PLENTY, wants(1))
    assert (grant.granted, grant.binding) == (0, "tokens")


async def test_what_the_provider_says_of_our_own_calls_is_nothing_new(
    rested: Meter, redis: Redis
) -> None:
    """Whether it speaks of the time of the request or of the time of its answer."""
    place = deployment(tokens=100, window=0.2)
    early = wants(1, 50)
    await rested.acquire(place, QUEUE, PLENTY, early)
    await asyncio.sleep(0.25)
    late = wants(1, 10)
    while not (await rested.acquire(place, QUEUE, PLENTY, late)).granted:
        await asyncio.sleep(0.01)
    await rested.settle([ended(early[0], place, remaining=used(tokens=50))])
    await rested.settle([ended(late[0], place, remaining=used(tokens=90))])
    assert await counted(redis, place, "tokens") == 10
