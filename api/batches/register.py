"""The registrar: reads a batch's lines, then makes jobs of them, chunk by chunk."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

from api.batches.lease import Lease
from api.batches.read import Terms, in_words_of, submission_of
from api.batches.table import DIALECTS
from api.batches.validate import Error, Found, Ground, error_of, findings
from api.deps import Parts
from api.files.lines import FileLine, chunks_of, lines_of
from api.jobs.submit import Submission, submit
from shared.db.batch_refusals import refusals_between, refuse_lines
from shared.db.batch_work import begin, count_registered, reject, stop_registration
from shared.db.tenants import Caller, find_key
from shared.domain.batch import BatchState
from shared.domain.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    LimitReachedError,
    PromptmillError,
    UnavailableError,
)

LINES_AT_ONCE: Final = 1000
BYTES_AT_ONCE: Final = 8 * 1024 * 1024
SUBMIT_SECONDS: Final = 20.0
"""Less than a lease: jobs of a batch that another may have by then are never made."""
LONGEST_WAIT: Final = 5.0
"""Seconds until a full queue is looked at again; a cancelled batch waits as long."""


async def register(parts: Parts, lease: Lease) -> None:
    """As far as this batch goes now; then it is let go of. Raises LostError."""
    async with lease.transaction() as connection:
        caller = await find_key(connection, lease.row.key_id)
    if caller is None:
        said = "The API key that made this batch is expired or revoked."
        await _give_up(lease, error_of("key_revoked", said))
    elif lease.row.state == BatchState.VALIDATING:
        await _validate(parts, lease, caller)
    else:
        await _register(parts, lease, caller)
    await lease.let_go()


async def _validate(parts: Parts, lease: Lease, caller: Caller) -> None:
    ground = Ground(parts, caller, Terms.of(lease.row), lease.row.now)
    found = Found()
    async for so_far in findings(ground, lease.row.input_file_id):
        found, row = so_far, await lease.renew()
        if row.state != BatchState.VALIDATING:
            return
        if refusals := found.told():
            async with lease.transaction() as connection:
                await refuse_lines(connection, row.id, refusals)
    async with lease.transaction() as connection:
        if found.errors:
            await reject(connection, lease.held, found.errors)
        else:
            await begin(connection, lease.held, total=found.total, model=found.model)


async def _register(parts: Parts, lease: Lease, caller: Caller) -> None:
    """Make jobs of the lines that are none yet."""
    done = lease.row.registered
    async for chunk in _chunks(parts, lease.row.input_file_id, done):
        row = await lease.renew()
        if row.state != BatchState.IN_PROGRESS or row.expires_at <= row.now:
            return
        submissions: list[Submission] = []
        good = await _not_refused(lease, chunk)
        try:
            submissions = await asyncio.to_thread(_submissions, good, Terms.of(row), row.now)
            count = await _submit(parts, caller, lease, submissions)
        except (LimitReachedError, UnavailableError, TimeoutError) as full:
            await lease.let_go(min(getattr(full, "retry_after", 1.0), LONGEST_WAIT))
            return
        except PromptmillError as error:
            await _give_up(lease, _told(error, Terms.of(row), submissions))
            return
        count = _read_of(chunk, submissions[count:])
        async with lease.transaction() as connection:
            await count_registered(connection, lease.held, count)
        done += count
        if count < len(chunk):
            return
    if done < lease.row.total:
        said = "The input file is not there any more."
        await _give_up(lease, error_of("input_file_gone", said))


async def _chunks(parts: Parts, file_id: str, skip: int) -> AsyncIterator[list[FileLine]]:
    lines = _behind(lines_of(parts.database, file_id, parts.settings.api.max_body_bytes), skip)
    async for chunk in chunks_of(lines, most_lines=LINES_AT_ONCE, most_bytes=BYTES_AT_ONCE):
        yield chunk


async def _behind(lines: AsyncIterator[FileLine], skip: int) -> AsyncIterator[FileLine]:
    async for line in lines:
        if skip:
            skip -= 1
        else:
            yield line


def _submissions(chunk: Sequence[FileLine], terms: Terms, now: datetime) -> list[Submission]:
    return [submission_of(line, terms, now)[1] for line in chunk]


async def _not_refused(lease: Lease, chunk: Sequence[FileLine]) -> list[FileLine]:
    if not DIALECTS[lease.row.dialect].alone:
        return list(chunk)
    first, last = chunk[0].number, chunk[-1].number
    async with lease.transaction() as connection:
        refusals = await refusals_between(connection, lease.row.id, after=first - 1, last=last)
    refused = {each.line for each in refusals}
    return [line for line in chunk if line.number not in refused]


def _read_of(chunk: Sequence[FileLine], left: Sequence[Submission]) -> int:
    """How many lines of it are behind us: all before the first that is left."""
    first = left[0].line if left else None
    return next((n for n, line in enumerate(chunk) if line.number == first), len(chunk))


async def _submit(
    parts: Parts, caller: Caller, lease: Lease, submissions: Sequence[Submission]
) -> int:
    """Make jobs of as many as may wait at one time, the first first; how many that was."""
    while submissions:
        try:
            async with asyncio.timeout(SUBMIT_SECONDS):
                await submit(parts, caller, submissions)
        except (BodyTooLargeError, TimeoutError):
            if len(submissions) == 1:
                raise
            submissions = submissions[: len(submissions) // 2]
            await lease.renew()
        else:
            break
    return len(submissions)


def _told(error: PromptmillError, terms: Terms, submissions: Sequence[Submission]) -> Error:
    line = getattr(error, "line", None)
    row = next((each.body for each in submissions if each.line == line), None)
    if row is not None and isinstance(error, InvalidRequestError):
        error = in_words_of(terms, row, error)
    return error_of(error.code, error.message, error.field, line)


async def _give_up(lease: Lease, error: Error) -> None:
    """No further line becomes a job; without any job the batch has failed."""
    async with lease.transaction() as connection:
        if not await reject(connection, lease.held, [error]):
            await stop_registration(connection, lease.held, [error])
