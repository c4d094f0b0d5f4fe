"""Tell whoever watches how jobs go: Celery's task events, with the job's id as the task's."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final, Protocol

import structlog

from shared.broker.events import Event, EventSender
from shared.broker.line import PublishError
from shared.db.leave import Leaving, Left
from shared.db.start import StartedAttempt
from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.job import JobState
from shared.domain.money import show_usd

log = structlog.get_logger(__name__)

TASK: Final = "generate"
VERSION: Final = version("promptmill")
FLUSH_SECONDS: Final = 0.25
HEARTBEAT_SECONDS: Final = 2.0
MOST_KEPT: Final = 20_000
"""Events that wait for a broker that is away; the oldest are forgotten first."""

ENDS: Final = {
    JobState.SUCCEEDED: "task-succeeded",
    JobState.FAILED: "task-failed",
    JobState.CANCELLED: "task-revoked",
    JobState.EXPIRED: "task-revoked",
    JobState.QUEUED: "task-retried",
    JobState.SCHEDULED: "task-retried",
}


class Waiting(Protocol):
    """A job in front of a route's line."""

    @property
    def id(self) -> str:
        """The job's."""


class Announcer:
    """Keeps events and sends them in groups; nothing waits for it and nothing fails with it."""

    def __init__(
        self,
        sender: EventSender,
        clock: Clock,
        hostname: str,
        in_flight: Callable[[], int],
        *,
        of_jobs: bool = True,
    ) -> None:
        """`of_jobs` False: signs of life only."""
        self._sender = sender
        self._clock = clock
        self._hostname = hostname
        self._in_flight = in_flight
        self._of_jobs = of_jobs
        self._events: deque[Event] = deque(maxlen=MOST_KEPT)
        self._waiting: dict[tuple[str, str], set[str]] = {}
        """By route and queue: the jobs at the front that were announced and not yet released."""
        self._ended = 0

    def waiting(self, route: str, queue: str, jobs: Iterable[Waiting]) -> None:
        """These stand in front of the route's line and were not let go; the rest is too many."""
        known = self._waiting.get((route, queue), set())
        front = self._waiting[route, queue] = {job.id for job in jobs}
        for job_id in front - known:
            self._keep("task-sent", job_id, **_described(queue, f"({route!r},)"))

    def started(self, attempts: Iterable[StartedAttempt]) -> None:
        """These calls are about to be made."""
        for attempt in attempts:
            args = f"({attempt.deployment!r}, {attempt.attempt_id!r})"
            described = _described(attempt.queue, args)
            self._keep("task-received", attempt.job_id, retries=attempt.tries, **described)
            self._keep("task-started", attempt.job_id)

    def ended(self, leaving: Leaving, moved_to: JobState, seconds: float) -> None:
        """An attempt of ours has left `running`, and its job is where it is now."""
        self._ended += 1
        cost = "unknown" if leaving.cost_nano is None else show_usd(leaving.cost_nano)
        kind = str(leaving.failure_kind or leaving.error or "given back")
        self._keep_end(leaving.job_id, moved_to, kind, result=f"cost {cost}", runtime=seconds)

    def rescued(self, left: Iterable[Left]) -> None:
        """These attempts were taken back from workers that died."""
        for row in left:
            if row.moved_to:
                self._keep_end(row.job_id, row.moved_to, FailureKind.INTERRUPTED)

    def cancelled(self, job_ids: Iterable[str]) -> None:
        """Of these, what stood in front of a line will not run; each is told once."""
        for job_id in job_ids:
            for front in self._waiting.values():
                if job_id in front:
                    front.discard(job_id)
                    self._keep("task-revoked", job_id, terminated=False, signum=None, expired=False)

    async def run(self) -> None:
        """Send what was kept, and signs of life, until cancelled."""
        self._keep_worker("worker-online")
        beats = 0
        while True:
            if beats * FLUSH_SECONDS >= HEARTBEAT_SECONDS:
                self._keep_worker("worker-heartbeat")
                beats = 0
            await self._flush()
            await asyncio.sleep(FLUSH_SECONDS)
            beats += 1

    async def close(self) -> None:
        """Say goodbye and send the rest."""
        self._keep_worker("worker-offline")
        await self._flush()
        await self._sender.close()

    async def _flush(self) -> None:
        events = [self._events.popleft() for _ in range(len(self._events))]
        try:
            await self._sender.send(events)
        except PublishError as error:
            log.debug("events_not_sent", number=len(events), error=str(error))
            self._keep_again(events)

    def _keep_again(self, events: Sequence[Event]) -> None:
        """They wait for the next time, before what came since; the oldest make room."""
        room = MOST_KEPT - len(self._events)
        self._events.extendleft(reversed(events[max(len(events) - room, 0) :]))

    def _keep_end(self, job_id: str, moved_to: JobState, kind: str, **of_success: object) -> None:
        event = ENDS[moved_to]
        details: dict[str, dict[str, Any]] = {
            "task-succeeded": of_success,
            "task-failed": {"exception": kind, "traceback": ""},
            "task-retried": {"exception": kind, "traceback": ""},
            "task-revoked": {
                "terminated": True,
                "signum": None,
                "expired": moved_to is JobState.EXPIRED,
            },
        }
        self._keep(event, job_id, **details[event])

    def _keep(self, kind: str, job_id: str, **details: object) -> None:
        if self._of_jobs:
            self._events.append({**self._stamp(kind), "uuid": job_id, **details})

    def _keep_worker(self, kind: str) -> None:
        self._events.append(
            {
                **self._stamp(kind),
                "freq": HEARTBEAT_SECONDS,
                "active": self._in_flight(),
                "processed": self._ended,
                "loadavg": os.getloadavg(),
                "sw_ident": "promptmill",
                "sw_ver": VERSION,
                "sw_sys": os.uname().sysname,
            }
        )

    def _stamp(self, kind: str) -> dict[str, Any]:
        at = self._clock.now().timestamp()
        # Celery orders the events of many processes by this number: milliseconds agree.
        order = round(at * 1000)
        return {
            "type": kind,
            "hostname": self._hostname,
            "pid": os.getpid(),
            "timestamp": at,
            "utcoffset": 0,
            "clock": order,
        }


def _described(queue: str, args: str) -> dict[str, Any]:
    """What Flower shows of a job; never a word of its prompt."""
    return {
        "name": TASK,
        "args": args,
        "kwargs": "{}",
        "eta": None,
        "expires": None,
        "queue": queue,
        "exchange": "",
        "routing_key": queue,
        "root_id": None,
        "parent_id": None,
    }
