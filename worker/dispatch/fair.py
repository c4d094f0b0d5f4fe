"""Whose turn it is: lanes by urgency, each with a share at least, and tenants by their weights."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heapreplace
from typing import Final

from shared.db.release import DueJob
from shared.domain.job import Lane

EARNED: Final[Mapping[Lane, float]] = {Lane.STANDARD: 4 / 16, Lane.BULK: 1 / (16 + 4)}
"""Tokens that a waiting lane earns by each that goes to a more urgent one: 16 : 4 : 1 of all."""

Queues = dict[Lane, deque[DueJob]]
Credits = dict[Lane, float]


class FairShare:
    """The order of one route's jobs; its memory is a hint and may be lost.

    The most urgent lane goes first. A less urgent one that has to wait earns tokens by what goes
    before it, and once it has earned those of its first job that job is next. So no lane is
    starved, however long more urgent work keeps coming, and an urgent job that finds a backlog
    goes at once. Age does not count: in a backlog of hours every job is old, and would crowd
    the lane that it was kept out of. Nor can a lane save up: what it earned is spent by one job.

    Within a lane tenants share by start-time fair queueing, in tokens per weight.
    """

    def __init__(self) -> None:
        self._credits: Credits = {}
        self._served: dict[tuple[Lane, str], float] = {}
        self._now: dict[Lane, float] = {}

    def order(self, jobs: Iterable[DueJob]) -> list[DueJob]:
        """The jobs in the order in which they shall go."""
        lanes: dict[Lane, dict[str, deque[DueJob]]] = {}
        for job in jobs:
            lanes.setdefault(job.lane, {}).setdefault(job.tenant_id, deque()).append(job)
        # A lane without work earns nothing and keeps nothing.
        self._credits = {lane: self._credits.get(lane, 0.0) for lane in lanes}
        queues = {lane: deque(self._order_lane(lane, lanes[lane])) for lane in sorted(lanes)}
        return list(_by_lanes(queues, dict(self._credits)))

    def charge(self, jobs: Iterable[DueJob]) -> None:
        """These went: their tenants have had so much, and the lanes that waited have earned."""
        for job in jobs:
            start = self._start(job.lane, job.tenant_id)
            self._served[job.lane, job.tenant_id] = start + job.tokens / job.weight
            self._now[job.lane] = max(self._now.get(job.lane, 0.0), start)
            _went(job, self._credits)

    def _start(self, lane: Lane, tenant_id: str) -> float:
        """A tenant that was away does not come back with a claim on the past."""
        return max(self._served.get((lane, tenant_id), 0.0), self._now.get(lane, 0.0))

    def _order_lane(self, lane: Lane, queues: dict[str, deque[DueJob]]) -> Iterator[DueJob]:
        heap = [(self._start(lane, tenant_id), tenant_id) for tenant_id in queues]
        heapify(heap)
        while heap:
            start, tenant_id = heap[0]
            job = queues[tenant_id].popleft()
            yield job
            if queues[tenant_id]:
                heapreplace(heap, (start + job.tokens / job.weight, tenant_id))
            else:
                heappop(heap)


def _by_lanes(queues: Queues, credits_: Credits) -> Iterator[DueJob]:
    """The most urgent first, but for a lane that has earned its turn; `queues` by urgency."""
    while queues:
        urgent, *waiting = queues
        lane = next((each for each in waiting if _earned(queues[each][0], credits_)), urgent)
        job = queues[lane].popleft()
        if not queues[lane]:
            del queues[lane]
        _went(job, credits_)
        yield job


def _earned(job: DueJob, credits_: Credits) -> bool:
    return credits_[job.lane] >= job.tokens


def _went(job: DueJob, credits_: Credits) -> None:
    """Its lane has spent what it had, the less urgent ones that wait have earned."""
    for lane in credits_:
        if lane is job.lane:
            credits_[lane] = 0.0
        elif lane > job.lane:
            credits_[lane] += job.tokens * EARNED[lane]
