"""A worker application whose engine keeps a diary instead of calling providers."""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.domain.errors import ConfigurationError
from worker.app import make_worker


class DiaryEngine:
    """Writes what it is told to a file, one JSON object a line; FAKE_* set its manners."""

    def __init__(self, queues: Sequence[str], capacity: int) -> None:
        self.queues = queues
        self.capacity = capacity
        self.taking = 0
        self.diary = Path(os.environ["FAKE_DIARY"])
        self.hold = Path(os.environ["FAKE_HOLD"])
        self.drained_by = float(os.environ.get("FAKE_DRAIN_TAKES", "0"))

    def note(self, event: str, **fields: Any) -> None:
        line = {"event": event, "pid": os.getpid(), "at": time.monotonic(), **fields}
        with self.diary.open("a") as diary:
            diary.write(json.dumps(line) + "\n")

    async def start(self) -> None:
        if message := os.environ.get("FAKE_START_FAILS"):
            raise ConfigurationError(message)
        self.note("start", queues=list(self.queues), capacity=self.capacity)

    async def take(self, attempt_ids: list[str]) -> None:
        self.taking += 1
        self.note("take", ids=attempt_ids, taking=self.taking, loop=id(asyncio.get_running_loop()))
        try:
            while self.hold.exists():
                await asyncio.sleep(0.02)
            if os.environ.get("FAKE_TAKE_FAILS"):
                message = "the store is away"
                raise OSError(message)
        finally:
            self.taking -= 1
        self.note("taken", ids=attempt_ids)

    async def sweep(self) -> None:
        self.note("sweep")

    def resize(self, capacity: int) -> None:
        self.note("resize", capacity=capacity)

    async def drain(self, seconds: float) -> None:
        self.note("drain", seconds=seconds)
        await asyncio.sleep(min(seconds, self.drained_by))
        self.hold.unlink(missing_ok=True)
        self.note("drained")

    async def stop(self) -> None:
        self.note("stop")


app = make_worker(
    os.environ["FAKE_REDIS_URL"],
    ["openai", "simulator"],
    DiaryEngine,
    drain=float(os.environ.get("FAKE_DRAIN", "5")),
)
