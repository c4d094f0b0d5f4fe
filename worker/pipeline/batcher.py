"""Micro-batches: flush at once when idle, else after a short while or when full."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Generic, TypeVar

from shared.doorbell import rings

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Collects items and hands them to `flush`, one batch at a time.

    `flush` gets the items in the order of their coming and answers each; what it raises
    is raised to every submitter of the batch.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        rows: int,
        after: float,
    ) -> None:
        self._flush = flush
        self._rows = rows
        self._after = after
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._full = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None
        self._last_flush = 0.0

    async def submit(self, item: Item) -> Answer:
        """Put an item into the next batch; returns its answer when that is flushed."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._rows:
            self._full.set()
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._linger()
                batch, self._waiting = self._waiting[: self._rows], self._waiting[self._rows :]
                await self._flush_one(batch)
        finally:
            self._flusher = None

    async def _linger(self) -> None:
        """Wait until `after` has passed since the last flush, unless the batch is full."""
        pause = self._last_flush + self._after - monotonic()
        if pause <= 0 or len(self._waiting) >= self._rows:
            return
        self._full.clear()
        await rings(self._full, pause)

    async def _flush_one(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        self._last_flush = monotonic()
        try:
            answers = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the submitters
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
