"""What became of a batch's lines, in their order, at any moment."""

from collections.abc import AsyncIterator
from typing import Any, Final

from sqlalchemy import Row

from api.batches.dialects import LineEnd
from api.batches.read import name_of
from api.batches.table import DIALECTS
from api.deps import Parts
from api.files.lines import FileLine, chunks_of, lines_of
from shared.db.batch_refusals import NO_END, refusals_between
from shared.db.batch_work import number_of, read_lines
from shared.domain.batch import BatchState
from shared.domain.failure import FailureKind
from shared.domain.job import FINAL_STATES, JobState

AT_ONCE: Final = 100
"""Results in memory."""
BYTES_AT_ONCE: Final = 2 * 1024 * 1024


async def ends_of(
    parts: Parts, batch: Row[Any], *, nothing_open: bool
) -> AsyncIterator[list[LineEnd]]:
    """Those lines that have ended; where nothing of it is open, those that never began, too."""
    last = 0
    while rows := await _read(parts, batch, last):
        before, last = last, number_of(rows[-1].key)
        ends = [_end(row) for row in rows if row.state in FINAL_STATES]
        yield sorted([*ends, *await _refused(parts, batch, before, last)], key=_number)
    if nothing_open and batch.in_progress_at:
        async for ends in _never_jobs(parts, batch, last):
            yield ends


async def _read(parts: Parts, batch: Row[Any], after: int) -> list[Row[Any]]:
    async with parts.database.transaction() as connection:
        return await read_lines(connection, batch.tenant_id, batch.id, after=after, limit=AT_ONCE)


def _end(row: Row[Any]) -> LineEnd:
    number = number_of(row.key)
    echo = row.echo or {}
    gone = row.state == JobState.SUCCEEDED and row.result is None
    return LineEnd(
        number=number,
        custom_id=echo.get("custom_id", f"line {number}"),
        state=row.state,
        job_id=row.id,
        echo={name: each for name, each in echo.items() if name not in {"custom_id", "line"}},
        result=row.result,
        kind="gone" if gone else row.error_kind or row.state,
        message="the result is no longer kept" if gone else row.error or f"the job has {row.state}",
        finished_at=row.finished_at,
        cost_nano=row.cost_nano,
        cost_flagged=row.cost_flagged,
        tries=row.tries,
    )


async def _refused(parts: Parts, batch: Row[Any], after: int, last: int = NO_END) -> list[LineEnd]:
    if not DIALECTS[batch.dialect].alone:
        return []
    async with parts.database.transaction() as connection:
        refusals = await refusals_between(connection, batch.id, after=after, last=last)
    return [
        LineEnd(
            number=each.line,
            custom_id=each.custom_id,
            state=JobState.FAILED,
            kind=FailureKind.BAD_REQUEST,
            message=each.message,
        )
        for each in refusals
    ]


def _number(end: LineEnd) -> int:
    return end.number


async def _never_jobs(parts: Parts, batch: Row[Any], after: int) -> AsyncIterator[list[LineEnd]]:
    """The lines behind the last one that became a job."""
    refused = {each.number: each for each in await _refused(parts, batch, after)}
    lines = lines_of(parts.database, batch.input_file_id, parts.settings.api.max_body_bytes)
    async for chunk in chunks_of(lines, most_lines=AT_ONCE * 10, most_bytes=BYTES_AT_ONCE):
        behind = (line for line in chunk if line.number > after)
        if ends := [refused.get(each.number) or _never_job(each, batch) for each in behind]:
            yield ends


def _never_job(line: FileLine, batch: Row[Any]) -> LineEnd:
    state, kind, message = _why(batch)
    name = name_of(line)
    return LineEnd(number=line.number, custom_id=name, state=state, kind=kind, message=message)


def _why(batch: Row[Any]) -> tuple[str, str, str]:
    """The state that such a line is told in, and its error."""
    if batch.state == BatchState.CANCELLING:
        return JobState.CANCELLED, JobState.CANCELLED, "its batch was cancelled"
    if batch.errors:
        return JobState.FAILED, batch.errors[0]["code"], batch.errors[0]["message"]
    return JobState.EXPIRED, JobState.EXPIRED, "the time of its batch was over"
