"""A count of what waits that is kept up between counts: exact enough, and never dear."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from shared.db.backlog import Amount

DUTY: Final = 20
"""A count is followed by a pause of so many times what it took: it costs a twentieth of a core."""
LEAST_AGE: Final = 0.05
"""Seconds: a younger count is not repeated."""
USUAL_AGE: Final = 1.0
"""Seconds: an older one is repeated where what waits comes near a limit."""
IDLE_AGE: Final = 10.0
"""Seconds: the same far from it."""
UNKNOWN_PACE: Final = 5.0
LONGEST_WAIT: Final = 60.0
"""Seconds that a caller is asked to stay away at the most."""


class Tally:
    """What waits of one tenant, or of all.

    To the last count is added what this process accepted since, and what it is about to accept.
    What other processes accepted is seen by the next count; what began to run, too.
    """

    def __init__(self, count: Callable[[], Awaitable[Amount]]) -> None:
        self._count = count
        self._counting: asyncio.Task[None] | None = None
        self._counted = Amount()
        self._counted_at = float("-inf")
        self._took = 0.0
        self._accepted = Amount()
        self._reserved = Amount()
        self._pace = 0.0
        """Jobs a second that went, between the last two counts."""

    @property
    def used(self) -> Amount:
        """What waits, as far as is known here."""
        return self._counted + self._accepted + self._reserved

    def reserve(self, wanted: Amount) -> None:
        """So much is about to be accepted."""
        self._reserved += wanted

    def settle(self, reserved: Amount, accepted: Amount) -> None:
        """Of what was reserved so much has come to be accepted; the rest has not."""
        self._reserved -= reserved
        self._accepted += accepted

    async def up_to_date(self, *, far: bool) -> None:
        """Count anew where the last count is old; only the first is waited for."""
        age = monotonic() - self._counted_at
        if age > self._pause(IDLE_AGE if far else USUAL_AGE):
            counting = self._counted_anew()
            if age == float("inf"):
                await asyncio.shield(counting)

    async def before_refusal(self) -> None:
        """Room may have come since the last count: count again, unless it is from just now."""
        if monotonic() - self._counted_at > self._pause(LEAST_AGE):
            await asyncio.shield(self._counted_anew())

    def wait(self, jobs: int) -> float:
        """Seconds until so many jobs may have gone, by the pace of late."""
        if self._pace <= 0:
            return UNKNOWN_PACE
        return min(jobs / self._pace, LONGEST_WAIT)

    def _pause(self, least: float) -> float:
        return max(least, DUTY * self._took)

    def _counted_anew(self) -> asyncio.Task[None]:
        """One count at a time, shared by all who want it."""
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._recount())
            self._counting.add_done_callback(_heard)
        return self._counting

    async def _recount(self) -> None:
        seen, began, before = self._accepted, monotonic(), self._counted + self._accepted
        counted = await self._count()
        # What was accepted while it counted may be in it or not: it stays counted here, too.
        self._accepted -= seen
        passed = began - self._counted_at
        self._pace = (before.jobs - counted.jobs) / passed
        self._counted, self._counted_at, self._took = counted, monotonic(), monotonic() - began


def _heard(counting: asyncio.Task[None]) -> None:
    """A count that nobody waited for and that failed is repeated by the next who asks."""
    if not counting.cancelled():
        counting.exception()
