"""The finisher: ends what is open of a batch whose time is over, and writes its files."""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from api.batches.dialects import Dialect, LineEnd
from api.batches.ends import ends_of
from api.batches.lease import Lease, LostError
from api.batches.table import DIALECTS
from api.deps import Parts
from api.files.store import FileWriter
from shared.db.batch_work import Ending, end, finalize
from shared.db.cancel import end_waiting_of_batch, is_open_batch, stop_batch
from shared.db.files import Label, seal_file
from shared.domain.batch import BatchState
from shared.domain.job import JobState
from shared.doorbell import Bell

AGAIN_SECONDS: Final = 0.5
"""Until a batch is looked at again whose last calls are still running."""
PURPOSE: Final = "batch_output"
TOKENS: Final = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


@dataclass(slots=True)
class Totals:
    """The sums of a batch's lines."""

    states: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOKENS, 0))
    cost_nano: int = 0
    flagged: bool = False

    def count(self, line: LineEnd) -> None:
        """Add one line."""
        state = str(line.state)  # not its enum: it becomes a key of JSON
        self.states[state] = self.states.get(state, 0) + 1
        self.cost_nano += line.cost_nano
        self.flagged = self.flagged or line.cost_flagged
        usage = (line.result or {}).get("usage") or {}
        for name in TOKENS:
            self.tokens[name] += usage.get(name, 0)

    def of(self, state: JobState) -> int:
        """So many lines ended in it."""
        return self.states.get(state, 0)

    def as_json(self) -> dict[str, Any]:
        """As the batch keeps them."""
        return {
            "states": self.states, "tokens": self.tokens, "cost_nano": self.cost_nano,
            "flagged": self.flagged,
        }  # fmt: skip


@dataclass(slots=True)
class Books:
    """The files that a batch leaves."""

    dialect: Dialect
    answers: FileWriter
    failures: FileWriter
    totals: Totals = field(default_factory=Totals)

    async def write(self, line: LineEnd) -> None:
        """Add one line where it belongs."""
        self.totals.count(line)
        apart = line.result is None and self.dialect.apart
        book = self.failures if apart else self.answers
        await book.write(orjson.dumps(self.dialect.told(line)) + b"\n")

    async def discard(self) -> None:
        """Leave nothing."""
        await self.answers.discard()
        await self.failures.discard()


async def finish(parts: Parts, lease: Lease) -> None:
    """As far as this batch goes now. Raises LostError."""
    before = JobState.CANCELLED if lease.row.state == BatchState.CANCELLING else JobState.EXPIRED
    if lease.row.state != BatchState.FINALIZING and await _still_open(parts, lease, before):
        await lease.let_go(AGAIN_SECONDS)
        return
    if lease.row.state == BatchState.IN_PROGRESS:
        async with lease.transaction() as connection:
            await finalize(connection, lease.held)
        await lease.renew()
    await _write(parts, lease)


async def _still_open(parts: Parts, lease: Lease, final: JobState) -> bool:
    """End what waits, and say whether something runs; a late answer is worth its wait."""
    tenant_id, batch_id = lease.row.tenant_id, lease.row.id
    while True:
        async with lease.transaction() as connection:
            ended = await end_waiting_of_batch(connection, tenant_id, batch_id, final)
        if not ended:
            break
        parts.doorbell.ring_soon(Bell.CANCEL, ended)
        await lease.renew()
    async with lease.transaction() as connection:
        stopping = final is JobState.CANCELLED
        stopped = await stop_batch(connection, tenant_id, batch_id) if stopping else []
        still = await is_open_batch(connection, tenant_id, batch_id)
    if stopped:
        parts.doorbell.ring_soon(Bell.CANCEL, stopped)
    return still


async def _write(parts: Parts, lease: Lease) -> None:
    """Its files, its counts, its end: seen all at once."""
    row = lease.row
    answers, failures = (FileWriter(parts.database, row.tenant_id, row.key_id) for _ in range(2))
    books = Books(DIALECTS[row.dialect], answers, failures)
    try:
        await _fill(parts, lease, books)
        await _end(lease, books)
    except LostError:
        await books.discard()
        raise


async def _fill(parts: Parts, lease: Lease, books: Books) -> None:
    began = lease.row
    async for ends in ends_of(parts, began, nothing_open=True):
        if (await lease.renew()).state != began.state:
            raise LostError
        for each in ends:
            await books.write(each)


async def _end(lease: Lease, books: Books) -> None:
    row, totals = lease.row, books.totals
    async with lease.transaction() as connection:
        ending = Ending(
            state=_ended_as(row, totals),
            output_file_id=await _sealed(connection, books.answers, row, "output"),
            error_file_id=await _sealed(connection, books.failures, row, "error"),
            completed=totals.of(JobState.SUCCEEDED),
            failed=totals.of(JobState.FAILED) + totals.of(JobState.EXPIRED),
            usage=totals.as_json(),
        )
        if not await end(connection, lease.held, ending):
            raise LostError


def _ended_as(row: Row[Any], totals: Totals) -> BatchState:
    if row.state == BatchState.CANCELLING:
        return BatchState.CANCELLED
    return BatchState.EXPIRED if totals.of(JobState.EXPIRED) else BatchState.COMPLETED


async def _sealed(
    connection: AsyncConnection, book: FileWriter, row: Row[Any], called: str
) -> str | None:
    """The id of the file; None where it would be empty."""
    if not book.size:
        return None
    name = f"{row.id}_{called}.jsonl"
    label = Label(purpose=PURPOSE, filename=name, seconds=row.options["output_seconds"])
    await book.flush(connection)
    sealed = await seal_file(connection, book.id, book.size, label)
    return None if sealed is None else str(sealed.id)
