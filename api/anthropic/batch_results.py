"""The results of a batch of Anthropic's that has ended, line by line."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from sqlalchemy import Row

from api.batches.anthropic_lines import unanswered
from api.batches.dialects import LineEnd
from api.batches.read import name_of
from api.deps import Parts
from api.files.lines import lines_of
from api.files.store import contents
from shared.domain.batch import BatchState
from shared.domain.failure import FailureKind
from shared.domain.job import JobState


def results_of(parts: Parts, batch: Row[Any]) -> AsyncIterator[bytes]:
    """JSON lines: of the file that it has left, or why there is none."""
    if batch.state == BatchState.FAILED:
        return _refused(parts, batch)
    return contents(parts.database, batch.output_file_id or "")


async def _refused(parts: Parts, batch: Row[Any]) -> AsyncIterator[bytes]:
    """None of its requests was asked: each is told why."""
    errors: list[Mapping[str, Any]] = batch.errors or [{"message": "the batch was not begun"}]
    longest = parts.settings.api.max_body_bytes
    async for line in lines_of(parts.database, batch.input_file_id, longest):
        end = LineEnd(
            number=line.number,
            custom_id=name_of(line),
            state=JobState.FAILED,
            kind=FailureKind.BAD_REQUEST,
            message=errors[0]["message"],
        )
        yield orjson.dumps(unanswered(end)) + b"\n"
