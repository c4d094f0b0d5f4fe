"""What ended calls took and used, on its way back: what Redis did not hear is told again."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError

from shared.catalog.deployments import Deployment
from shared.domain.failure import BLAME, NEVER_ARRIVED, Blame, FailureKind
from shared.domain.generation import Usage
from shared.meters.counting import RULES
from shared.meters.meter import Call, Ended, Meter, Slot
from worker.adapters.base import Rate

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Heard:
    """What a call's end says about quota."""

    usage: Usage | None = None
    rate: Rate = field(default_factory=dict)


class Slots:
    """Settles the permits of ended calls; those that an outage kept wait for the next chance.

    Without that their slots would count as taken until they expire, a minute later.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._calls: dict[str, tuple[Deployment, Call]] = {}
        """Of attempts that have ended and are being recorded."""
        self._owed: list[Ended] = []

    def ended(
        self,
        attempt_id: str,
        deployment: Deployment | None,
        heard: Heard,
        *,
        sent: bool,
        failure: FailureKind | None,
    ) -> None:
        """Keep in mind how this call ended, until its slot is freed.

        `deployment`: None where the catalog has it no more; then its permit stays spent.
        """
        if deployment is not None:
            arrived = sent and failure not in NEVER_ARRIVED
            call = call_of(attempt_id, deployment, heard, sent=arrived, failure=failure)
            self._calls[attempt_id] = deployment, call

    async def free(self, slots: Iterable[Slot]) -> None:
        """The ends of these calls are recorded. Never raises for a Redis that is away."""
        for slot in slots:
            deployment, call = self._calls.pop(slot.attempt_id, (None, None))
            self._owed.append(Ended(slot, deployment, call or Call(attempt_id=slot.attempt_id)))
        await self.settle()

    def forget(self, attempt_id: str) -> None:
        """Its end could not be recorded."""
        self._calls.pop(attempt_id, None)

    async def settle(self) -> None:
        """Tell Redis what it has not heard yet."""
        if not self._owed:
            return
        telling, self._owed = self._owed, []
        try:
            await self._meter.settle(telling)
        except (RedisError, OSError) as error:
            self._owed += telling
            log.debug("slots_not_freed", count=len(telling), error=type(error).__name__)

    async def renew(self, in_flight: Iterable[Slot]) -> None:
        """These calls go on: their slots stay taken. Never raises for a Redis that is away."""
        await self.settle()
        try:
            await self._meter.renew(in_flight)
        except (RedisError, OSError) as error:
            log.debug("slots_not_renewed", error=type(error).__name__)


def call_of(
    attempt_id: str,
    deployment: Deployment,
    heard: Heard,
    *,
    sent: bool,
    failure: FailureKind | None,
) -> Call:
    """What a call made of its permit, by its provider's rule; `failure`: None for an answer."""
    blame = BLAME[failure] if failure else Blame.ANSWERED
    if (usage := heard.usage) is None or not sent:
        return Call(
            attempt_id=attempt_id,
            sent=sent,
            remaining=heard.rate,
            blame=blame,
            answered=failure is None,
        )
    rule = RULES[deployment.limits.counts]
    return Call(
        attempt_id=attempt_id,
        used=rule.used(usage),
        input_tokens=rule.counted_input(usage),
        output_tokens=usage.output_tokens,
        remaining=heard.rate,
        blame=blame,
        answered=failure is None,
    )
