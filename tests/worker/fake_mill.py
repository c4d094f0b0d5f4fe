"""A worker application whose engine keeps a diary instead of calling providers."""

import asyncio
import json
import os
import threading
import time
from pathlib import Path

from shared.db.start import StartedAttempt
from shared.domain.errors import ConfigurationError
from worker.app import make_worker

DIARY = Path(os.environ["FAKE_DIARY"])
HOLD = Path(os.environ["FAKE_HOLD"])
"""While this file exists, no `take` returns."""

FAILURES = {"away": OSError("the store is away"), "cancelled": asyncio.CancelledError("by itself")}


def note(event: str, **fields: object) -> None:
    """Add one JSON object to the diary."""
    line = {"event": event, "pid": os.getpid(), "at": time.monotonic(), **fields}
    with DIARY.open("a") as diary:
        diary.write(json.dumps(line) + "\n")


def held() -> bool:
    """Tell whether the test holds every `take`."""
    return HOLD.exists()


class DiaryEngine:
    """Writes down what it is told; the variables FAKE_* set its manners."""

    def __init__(self, hostname: str, queues: tuple[str, ...], capacity: int) -> None:
        self.hostname = hostname
        self.queues = queues
        self.capacity = capacity
        self.given_up = False

    async def start(self) -> None:
        """Fail when told to."""
        if message := os.environ.get("FAKE_START_FAILS"):
            raise ConfigurationError(message)
        note("start", queues=list(self.queues), capacity=self.capacity)

    async def take(self, attempt_ids: list[str]) -> None:
        """Return when nobody holds it."""
        note("take", ids=attempt_ids, loop=id(asyncio.get_running_loop()))
        if failure := os.environ.get("FAKE_TAKE_FAILS"):
            raise FAILURES[failure]
        try:
            while held() and not self.given_up:
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            note("cancelled", ids=attempt_ids)
            raise
        note("taken", ids=attempt_ids)

    async def sweep(self) -> None:
        """Only say so."""
        note("sweep")

    async def cancel(self, job_ids: list[str]) -> None:
        """Only say so."""
        note("cancel", ids=job_ids)

    def flying(self) -> list[StartedAttempt]:
        """Nothing flies."""
        return []

    def resize(self, capacity: int) -> None:
        """Only say so."""
        note("resize", capacity=capacity)

    async def drain(self, seconds: float) -> None:
        """Run for as long as it is told to, at most the limit."""
        note("drain", seconds=seconds)
        self.given_up = "FAKE_STUBBORN" not in os.environ
        await asyncio.sleep(min(seconds, float(os.environ.get("FAKE_DRAIN_TAKES", "0.2"))))
        note("drained")

    async def stop(self) -> None:
        """Only say so."""
        note("stop")


app = make_worker(
    os.environ["FAKE_REDIS_URL"],
    ["openai", "simulator"],
    DiaryEngine,
    drain=float(os.environ.get("FAKE_DRAIN", "5")),
)


@app.task(name="fake.plain")  # type: ignore[untyped-decorator]
def plain(number: int) -> int:
    """Write down the thread, which must not be the loop's."""
    note("plain", number=number, thread=threading.current_thread().name)
    return number + 1
