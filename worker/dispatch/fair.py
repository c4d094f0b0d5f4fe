"""Whose turn it is: lanes first, then tenants by tokens per weight."""

from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heapreplace

from shared.db.release import DueJob
from shared.domain.job import Lane


class FairShare:
    """Start-time fair queueing of one route; its memory is a hint and may be lost."""

    def __init__(self) -> None:
        self._served: dict[tuple[Lane, str], float] = {}
        self._now: dict[Lane, float] = {}

    def order(self, jobs: Iterable[DueJob]) -> list[DueJob]:
        """The jobs in the order in which they shall go."""
        lanes: dict[Lane, dict[str, deque[DueJob]]] = {}
        for job in jobs:
            lanes.setdefault(job.lane, {}).setdefault(job.tenant_id, deque()).append(job)
        return [job for lane in sorted(lanes) for job in self._order_lane(lane, lanes[lane])]

    def charge(self, jobs: Iterable[DueJob]) -> None:
        """These went: their tenants have had so much."""
        for job in jobs:
            start = self._start(job.lane, job.tenant_id)
            self._served[job.lane, job.tenant_id] = start + job.tokens / job.weight
            self._now[job.lane] = max(self._now.get(job.lane, 0.0), start)

    def _start(self, lane: Lane, tenant_id: str) -> float:
        """A tenant that was away does not come back with a claim on the past."""
        return max(self._served.get((lane, tenant_id), 0.0), self._now.get(lane, 0.0))

    def _order_lane(self, lane: Lane, queues: dict[str, deque[DueJob]]) -> list[DueJob]:
        heap = [(self._start(lane, tenant_id), tenant_id) for tenant_id in queues]
        heapify(heap)
        ordered: list[DueJob] = []
        while heap:
            start, tenant_id = heap[0]
            job = queues[tenant_id].popleft()
            ordered.append(job)
            if queues[tenant_id]:
                heapreplace(heap, (start + job.tokens / job.weight, tenant_id))
            else:
                heappop(heap)
        return ordered
