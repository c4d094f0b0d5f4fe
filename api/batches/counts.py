"""How far a batch is; who asks often is told what was counted a moment ago."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from sqlalchemy import Row

from api.deps import Parts
from shared.db.batches import Counts, count_batch
from shared.domain.batch import OPEN_BATCHES
from shared.domain.job import JobState

SHARE: Final = 20
"""A count is believed so many times as long as it took: at most 5 % of the time goes there."""
SHORTEST: Final = 0.5
"""Seconds that every count is believed."""
MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Progress:
    """The lines of a batch by what became of them."""

    total: int
    states: Mapping[str, int]
    cost_nano: int
    flagged: bool

    def of(self, *states: JobState) -> int:
        """So many lines are in one of them."""
        return sum(self.states.get(state, 0) for state in states)

    @property
    def completed(self) -> int:
        """With an answer."""
        return self.of(JobState.SUCCEEDED)

    @property
    def failed(self) -> int:
        """With an error."""
        return self.of(JobState.FAILED, JobState.EXPIRED)


class BatchCounts:
    """What was counted of batches that are not over."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Counts]] = {}

    async def progress(self, parts: Parts, batch: Row[Any]) -> Progress:
        """Of a row of shared/db/batches.py."""
        if batch.state not in OPEN_BATCHES:
            self._known.pop(batch.id, None)
            usage = batch.usage or {"states": {}, "cost_nano": 0, "flagged": False}
            return Progress(batch.total, usage["states"], usage["cost_nano"], usage["flagged"])
        if batch.in_progress_at is None:
            return Progress(0, {}, 0, flagged=False)
        counts = await self._counts(parts, batch)
        return Progress(batch.total, counts.states, counts.cost_nano, counts.flagged)

    async def _counts(self, parts: Parts, batch: Row[Any]) -> Counts:
        until, counts = self._known.get(batch.id, (0.0, None))
        began = monotonic()
        if counts is not None and began < until:
            return counts
        async with parts.database.transaction() as connection:
            counts = await count_batch(connection, batch.tenant_id, batch.id)
        now = monotonic()
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[batch.id] = (now + max(SHORTEST, SHARE * (now - began)), counts)
        return counts


BATCH_COUNTS: Final = BatchCounts()
"""Of this process."""
