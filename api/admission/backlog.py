"""Keeps what waits within bounds: of each tenant by its limits, of all by the settings."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import ceil

from api.admission.tally import Tally
from shared.db.backlog import Amount, waiting
from shared.db.engine import Database
from shared.db.tenants import Caller
from shared.domain.errors import AllQueuesFullError, BodyTooLargeError, QueueFullError
from shared.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit of what waits."""

    name: str
    most: int
    unit: str
    """A field of Amount."""

    def passed(self, amount: Amount) -> bool:
        """Whether so much is more than it allows."""
        return int(getattr(amount, self.unit)) > self.most


@dataclass(slots=True)
class Place:
    """Room in the queue for what is about to be accepted, or the reason why there is none."""

    keyed: bool
    """Each job has an idempotency key: all may turn out to be accepted already."""
    accepted: Amount = field(default_factory=Amount)
    _refusal: QueueFullError | None = None

    def refuse(self, refusal: QueueFullError) -> None:
        """There is none. Raises it at once where some job must be new."""
        if not self.keyed:
            raise refusal
        self._refusal = refusal

    def take(self, accepted: Amount) -> None:
        """So much is new, the rest was known. Raises the refusal, before anything is committed."""
        if self._refusal and accepted.jobs:
            raise self._refusal
        self.accepted = accepted


class Backlog:
    """Asks what waits only of tenants that have a limit, and of all together now and then."""

    def __init__(self, database: Database, settings: ApiSettings) -> None:
        self._database = database
        self._settings = settings
        self._of_all = Tally(partial(self._count, None))
        self._tenants: dict[str, Tally] = {}

    @asynccontextmanager
    async def place(self, caller: Caller, wanted: Amount, *, keyed: bool) -> AsyncIterator[Place]:
        """Room for so much. Raises QueueFullError, or BodyTooLargeError if it could never fit."""
        counted = await self._counted(caller, wanted)
        # From here to the reservation nobody else gets in between.
        place = Place(keyed=keyed)
        if refusal := self._refusal(counted, wanted):
            place.refuse(refusal)
        for tally in counted:
            tally.reserve(wanted)
        try:
            yield place
        finally:
            for tally in counted:
                tally.settle(wanted, place.accepted)

    async def refusal(
        self, caller: Caller, wanted: Amount
    ) -> QueueFullError | BodyTooLargeError | None:
        """What a submission of so much would be refused with now; nothing is kept for it."""
        try:
            return self._refusal(await self._counted(caller, wanted), wanted)
        except BodyTooLargeError as error:
            return error

    async def _counted(self, caller: Caller, wanted: Amount) -> dict[Tally, list[Bound]]:
        """What bounds it, and what waits there already. Raises BodyTooLargeError."""
        own = self._bounds_of(caller)
        for bound in own:
            if bound.passed(wanted):
                message = (
                    f"this is more than may wait at one time ({bound.name} is {bound.most}): "
                    "send fewer jobs at once"
                )
                raise BodyTooLargeError(message, field="body")
        counted = {self._tally_of(caller.tenant_id): own} if own else {}
        counted[self._of_all] = self._common_bounds()
        for tally, bounds in counted.items():
            await _refreshed(tally, bounds, wanted)
        return counted

    def _refusal(
        self, counted: Mapping[Tally, list[Bound]], wanted: Amount
    ) -> QueueFullError | None:
        for tally, bounds in counted.items():
            if passed := _first_passed(bounds, tally.used + wanted):
                if tally is self._of_all:
                    return _refusal_of_all(tally, wanted)
                return _refusal_of_tenant(tally, passed, wanted)
        return None

    def _bounds_of(self, caller: Caller) -> list[Bound]:
        jobs = caller.limits.max_queued or self._settings.tenant_max_queued
        size = caller.limits.max_queued_bytes
        bounds = ("max_queued", jobs, "jobs"), ("max_queued_bytes", size, "bytes")
        return [Bound(name, most, unit) for name, most, unit in bounds if most]

    def _common_bounds(self) -> list[Bound]:
        return [
            Bound("max_queued", self._settings.max_queued, "jobs"),
            Bound("max_queued_bytes", self._settings.max_queued_bytes, "bytes"),
        ]

    def _tally_of(self, tenant_id: str) -> Tally:
        if tenant_id not in self._tenants:
            self._tenants[tenant_id] = Tally(partial(self._count, tenant_id))
        return self._tenants[tenant_id]

    async def _count(self, tenant_id: str | None) -> Amount:
        async with self._database.transaction() as connection:
            return await waiting(connection, tenant_id)


def _first_passed(bounds: Sequence[Bound], amount: Amount) -> Bound | None:
    return next((bound for bound in bounds if bound.passed(amount)), None)


async def _refreshed(tally: Tally, bounds: Sequence[Bound], wanted: Amount) -> None:
    """Make its count as young as the bounds need it."""
    twice = tally.used + tally.used + wanted
    await tally.up_to_date(far=_first_passed(bounds, twice) is None)
    if _first_passed(bounds, tally.used + wanted):
        await tally.before_refusal()


def _refusal_of_tenant(tally: Tally, bound: Bound, wanted: Amount) -> QueueFullError:
    seconds = _seconds(tally, wanted)
    used, more = (getattr(amount, bound.unit) for amount in (tally.used, wanted))
    message = (
        f"the queue of your tenant is full: its {bound.name} is {bound.most}, {used} {bound.unit} "
        f"wait, and these are {more}; nothing was accepted, come again in {seconds} s"
    )
    return QueueFullError(message, retry_after=seconds)


def _refusal_of_all(tally: Tally, wanted: Amount) -> QueueFullError:
    seconds = _seconds(tally, wanted)
    message = (
        "the queue of this installation is full, of all tenants together "
        f"(PROMPTMILL_API__MAX_QUEUED); nothing was accepted, come again in {seconds} s"
    )
    return AllQueuesFullError(message, retry_after=seconds)


def _seconds(tally: Tally, wanted: Amount) -> int:
    return max(ceil(tally.wait(wanted.jobs)), 1)
