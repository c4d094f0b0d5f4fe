"""What the simulated provider would bill: append-only JSONL, on disk before the reply."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One billed call."""

    request_id: str
    client_request_id: str
    at: float
    model: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_nano: int
    answer_sha256: str
    outcome: str
    status: int


class Ledger:
    """Group commit: everything that came while one fsync ran goes with the next."""

    def __init__(self, path: Path | None) -> None:
        """Without a path the sums are kept, the lines are not."""
        self.billed_nano = 0
        self.lines = 0
        self._file = None if path is None else path.open("ab")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, line: LedgerLine) -> None:
        """Bill a call; returns when its line cannot be lost any more."""
        self.billed_nano += line.cost_nano
        self.lines += 1
        if self._file is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((orjson.dumps(asdict(line)) + b"\n", future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await future

    async def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            await self._writer
        if self._file is not None:
            self._file.close()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await loop.run_in_executor(self._thread, self._sync, b"".join(b for b, _ in batch))
            for _, future in batch:
                if not future.done():
                    future.set_result(None)
        self._writer = None

    def _sync(self, data: bytes) -> None:
        assert self._file is not None  # noqa: S101 - `append` returned before otherwise
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())


def read_ledger(path: Path) -> list[LedgerLine]:
    """All complete lines; a last one that was cut by a crash is left out."""
    lines = path.read_bytes().split(b"\n")
    return [LedgerLine(**orjson.loads(line)) for line in lines[:-1] if line]
