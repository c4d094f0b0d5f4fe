"""What ended calls took and used, told to Redis as soon as it hears."""

from collections.abc import Iterable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.catalog.limits import Counting
from shared.domain.failure import Blame, FailureKind
from shared.domain.generation import Usage
from shared.meters.meter import Ended, Slot
from tests.meters.asking import QUEUE, deployment
from worker.pipeline.slots import Heard, Slots, call_of

PLACE = deployment("m", counts=Counting.METERED)
SLOT = Slot("att_1", PLACE.id, QUEUE)
USAGE = Usage(input_tokens=100, cached_tokens=40, output_tokens=7)


class Redisless:
    """A meter that is away, and then hears."""

    def __init__(self) -> None:
        self.away = True
        self.heard: list[Ended] = []

    async def settle(self, ended: Iterable[Ended]) -> None:
        if self.away:
            raise RedisConnectionError
        self.heard += ended


def test_an_answer_is_settled_by_its_rule_and_clears_its_provider() -> None:
    call = call_of("att_1", PLACE, Heard(USAGE, {"requests": 3}), sent=True, failure=None)
    assert (call.used["input_tokens"], call.used["output_tokens"]) == (60, 7)
    assert (call.input_tokens, call.output_tokens, call.remaining) == (60, 7, {"requests": 3})
    assert (call.sent, call.blame) == (True, Blame.ANSWERED)


@pytest.mark.parametrize(
    ("failure", "blame"),
    [
        (FailureKind.SERVER, Blame.FAILED),
        (FailureKind.RATE_LIMITED, Blame.ANSWERED),
        (FailureKind.INTERRUPTED, Blame.NOTHING),
    ],
)
def test_a_failure_without_usage_leaves_its_permit_spent(
    failure: FailureKind, blame: Blame
) -> None:
    call = call_of("att_1", PLACE, Heard(), sent=True, failure=failure)
    assert (call.sent, call.used, call.blame) == (True, {}, blame)


@pytest.mark.parametrize("failure", [FailureKind.UNREACHABLE, FailureKind.UNFETCHED])
async def test_what_never_arrived_comes_back_and_an_outage_of_redis_only_delays_that(
    failure: FailureKind,
) -> None:
    meter = Redisless()
    slots = Slots(meter)  # type: ignore[arg-type]
    slots.ended("att_1", PLACE, Heard(), sent=True, failure=failure)
    await slots.free([SLOT])
    assert meter.heard == []
    meter.away = False
    await slots.settle()
    await slots.settle()
    [ended] = meter.heard
    assert (ended.slot, ended.deployment, ended.call.sent) == (SLOT, PLACE, False)


async def test_a_call_that_nobody_told_of_only_frees_its_slot() -> None:
    meter = Redisless()
    meter.away = False
    slots = Slots(meter)  # type: ignore[arg-type]
    await slots.free([SLOT])
    [ended] = meter.heard
    assert (ended.deployment, ended.call.used, ended.call.blame) == (None, {}, Blame.NOTHING)
