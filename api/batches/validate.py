"""Read every line of a batch before any becomes a job."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from api.batches.dialects import mistake
from api.batches.read import Terms, in_words_of, name_of, submission_of
from api.batches.table import DIALECTS
from api.deps import Parts
from api.files.lines import FileLine, chunks_of, lines_of
from api.jobs.submit import Submission, drafts
from api.routing.plans import Planner, planner_for
from shared.db.batch_refusals import Refusal
from shared.db.tenants import Caller
from shared.domain.errors import InvalidRequestError

MOST_ERRORS: Final = 100
"""Nobody reads more; the rest of the file is not looked at."""
LINES_AT_ONCE: Final = 200
BYTES_AT_ONCE: Final = 2 * 1024 * 1024
"""Between two chunks the event loop belongs to others."""

Error = dict[str, Any]
"""One of a batch's errors: code, message, param, line."""


def error_of(code: str, message: str, param: str | None = None, line: int | None = None) -> Error:
    """As OpenAI writes it."""
    return {"code": code, "message": message, "param": param, "line": line}


@dataclass(slots=True)
class Found:
    """What is known of a batch's lines."""

    alone: bool = False
    """Each wrong line ends by itself; else one ends the batch."""
    total: int = 0
    models: set[str] = field(default_factory=set)
    errors: list[Error] = field(default_factory=list)
    """What ends the batch."""
    refusals: list[Refusal] = field(default_factory=list)
    """What ends a line alone, and was not told yet."""
    custom_ids: set[str] = field(default_factory=set)

    @property
    def model(self) -> str | None:
        """The one that all lines ask for, if it is one."""
        return next(iter(self.models)) if len(self.models) == 1 else None

    def refuse(self, line: FileLine, error: InvalidRequestError) -> None:
        """Something is wrong with that line."""
        if self.alone:
            told = Refusal(line.number, name_of(line), error.code, error.message)
            self.refusals.append(told)
        else:
            self.errors.append(error_of(error.code, error.message, error.field, line.number))

    def told(self) -> list[Refusal]:
        """The refusals since this was asked last."""
        found, self.refusals = self.refusals, []
        return found

    def take(self, line: FileLine, custom_id: str, submission: Submission) -> bool:
        """Whether nobody before it had its custom_id."""
        if custom_id in self.custom_ids:
            said = f"The custom_id {custom_id!r} of this line is that of another line, too."
            self.refuse(line, mistake("duplicate_custom_id", said, "custom_id"))
            return False
        self.custom_ids.add(custom_id)
        self.models.add(submission.asked.request.model)
        return True


@dataclass(frozen=True, slots=True)
class Ground:
    """What lines are held against."""

    parts: Parts
    caller: Caller
    terms: Terms
    now: datetime


async def findings(ground: Ground, file_id: str) -> AsyncIterator[Found]:
    """What the file's lines are, told again after each chunk; the last is of all of them."""
    api, alone = ground.parts.settings.api, DIALECTS[ground.terms.dialect].alone
    found = Found(alone=alone)
    lines = lines_of(ground.parts.database, file_id, api.max_body_bytes)
    async for chunk in chunks_of(lines, most_lines=LINES_AT_ONCE, most_bytes=BYTES_AT_ONCE):
        if found.total + len(chunk) > api.max_batch_lines:
            line = chunk[api.max_batch_lines - found.total].number
            said = f"A batch has at most {api.max_batch_lines} lines; this is one more."
            found.errors.append(error_of("too_many_lines", said, None, line))
            break
        found.total += len(chunk)
        await _look(ground, chunk, found)
        yield found
        if len(found.errors) >= MOST_ERRORS:
            said = f"The lines behind it were not read: {MOST_ERRORS} errors are enough."
            del found.errors[MOST_ERRORS - 1 :]
            found.errors.append(error_of("too_many_errors", said, None, chunk[-1].number))
            break
    if not found.total:
        found.errors.append(error_of("empty_file", "The input file has no line."))
    yield found


async def _look(ground: Ground, chunk: Sequence[FileLine], found: Found) -> None:
    submissions = await asyncio.to_thread(_submissions, ground, chunk, found)
    if submissions:
        planner = await planner_for(
            ground.parts, ground.caller, [each.asked for _, each in submissions]
        )
        await asyncio.to_thread(_refuse_unfit, ground, submissions, planner, found)


def _submissions(
    ground: Ground, chunk: Sequence[FileLine], found: Found
) -> list[tuple[FileLine, Submission]]:
    """Of those lines that are well-formed."""
    submissions = []
    for line in chunk:
        try:
            custom_id, submission = submission_of(line, ground.terms, ground.now)
        except InvalidRequestError as error:
            found.refuse(line, error)
            continue
        if found.take(line, custom_id, submission):
            submissions.append((line, submission))
    return submissions


def _refuse_unfit(
    ground: Ground,
    submissions: Sequence[tuple[FileLine, Submission]],
    planner: Planner | None,
    found: Found,
) -> None:
    """Refuse what no model would take; the same rules as when they become jobs."""
    asked = [each for _, each in submissions]
    looked_at = drafts(ground.parts, ground.caller, asked, planner)
    for (line, submission), draft in zip(submissions, looked_at, strict=True):
        if isinstance(draft, InvalidRequestError):
            found.refuse(line, in_words_of(ground.terms, submission.body, draft))
