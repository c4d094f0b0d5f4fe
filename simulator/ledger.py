"""What the simulated provider would bill: append-only JSONL, on disk before the reply."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One billed call."""

    request_id: str
    client_request_id: str
    """The caller's `x-client-request-id`; empty if it sent none."""
    at: float
    """Unix seconds."""
    model: str
    prompt_tokens: int
    """All input, cached or not."""
    cached_tokens: int
    completion_tokens: int
    """All output, thought too."""
    cost_nano: int
    """Nano-USD."""
    answer_sha256: str
    """Of the whole answer text, also where a fault kept it back."""
    outcome: str
    """"answered", "abandoned" (the caller hung up first) or the fault's word."""
    status: int
    """The HTTP status that was sent, or would have been."""
    provider: str = "openai"
    arrived: float = 0.0
    """Unix seconds; `at` is when it was billed."""
    charge: int = 0
    """The tokens that the rate limit counted on arrival."""
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    searches: int = 0


class Ledger:
    """Group commit: everything that came while one fsync ran goes with the next."""

    def __init__(self, path: Path | None) -> None:
        """Without a path nothing is kept. Raises OSError if the file cannot be written."""
        self._file = None if path is None else path.open("a+b", buffering=0)
        if self._file is not None:
            _mend(self._file.fileno())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    def enter(self, line: LedgerLine) -> asyncio.Future[None]:
        """Hand a line over; the future is done when the line cannot be lost any more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._file is None:
            future.set_result(None)
            return future
        self._waiting.append((orjson.dumps(line) + b"\n", future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return future

    async def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            await self._writer
        self._thread.shutdown()
        if self._file is not None:
            self._file.close()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            data = b"".join(line for line, _ in batch)
            problem = None
            try:
                await loop.run_in_executor(self._thread, self._sync, data)
            except OSError as error:
                problem = error
            for _, future in batch:
                _settle(future, problem)
        self._writer = None

    def _sync(self, data: bytes) -> None:
        assert self._file is not None  # noqa: S101 - `enter` queued nothing otherwise
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())


def read_ledger(path: Path) -> list[LedgerLine]:
    """All complete lines; a last one that a crash or a running write cut is left out."""
    lines = path.read_bytes().split(b"\n")
    return [LedgerLine(**orjson.loads(line)) for line in lines[:-1] if line]


def _settle(future: asyncio.Future[None], problem: OSError | None) -> None:
    if future.done():
        return
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)


def _mend(descriptor: int) -> None:
    """Cut a half line off: its reply was never sent, and the next line must stand alone."""
    size = os.fstat(descriptor).st_size
    if size:
        end = os.pread(descriptor, size, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, end)
