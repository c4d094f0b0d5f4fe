"""The public shapes of native batches."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row

from api.batches.counts import BATCH_COUNTS, Progress
from api.deps import Parts
from api.jobs.schemas import Cost, Metadata, Moment
from shared.domain.batch import BatchState
from shared.domain.clock import SystemClock
from shared.domain.job import JobState
from shared.routing.policy import MOST_USD


class BatchCreate(BaseModel):
    """What a batch is made of."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: Annotated[str, Field(min_length=1, max_length=64)]
    endpoint: str | None = None
    """`/v1/chat/completions` and its like for lines of OpenAI's batches; absent: native lines."""
    completion_window: str = "24h"
    """Or another number of s, m, h or d up to 7d."""
    defaults: dict[str, Any] = {}
    """Fields of a job for every line; a line's own come first."""
    max_cost: Annotated[Decimal, Field(gt=0, le=MOST_USD, decimal_places=9)] | None = None
    """USD that all lines may cost together."""
    metadata: Metadata | None = None


class BatchError(BaseModel):
    """What is wrong with the batch, or with one of its lines."""

    code: str
    message: str
    param: str | None
    line: int | None


class LineCounts(BaseModel):
    """Lines by what became of them."""

    total: int
    registered: int
    """Of them are jobs."""
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class BatchRead(BaseModel):
    """A batch as it stands."""

    object: Literal["batch"] = "batch"
    id: str
    state: BatchState
    endpoint: str
    model: str | None
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    completion_window: str
    created_at: Moment
    expires_at: Moment
    in_progress_at: Moment | None
    ended_at: Moment | None
    counts: LineCounts
    cost: Cost
    tokens: dict[str, int] | None
    """Once it has ended."""
    eta_seconds: int | None
    """Until the last line ends, at the pace so far."""
    errors: list[BatchError]
    metadata: dict[str, str] | None
    status_url: str
    results_url: str


class BatchList(BaseModel):
    """One page."""

    data: list[BatchRead]
    has_more: bool
    next: str | None
    """Ask again with `after` set to this."""


async def told(parts: Parts, row: Row[Any]) -> BatchRead:
    """From a row of shared/db/batches.py."""
    progress = await BATCH_COUNTS.progress(parts, row)
    url = f"/api/v1/batches/{row.id}"
    return BatchRead(
        id=row.id,
        state=row.state,
        endpoint=row.endpoint,
        model=row.model,
        input_file_id=row.input_file_id,
        output_file_id=row.output_file_id,
        error_file_id=row.error_file_id,
        completion_window=row.options["window"],
        created_at=row.created_at,
        expires_at=row.expires_at,
        in_progress_at=row.in_progress_at,
        ended_at=row.completed_at or row.failed_at or row.expired_at or row.cancelled_at,
        counts=LineCounts(
            total=progress.total,
            registered=row.registered,
            succeeded=progress.completed,
            failed=progress.of(JobState.FAILED),
            cancelled=progress.of(JobState.CANCELLED),
            expired=progress.of(JobState.EXPIRED),
        ),
        cost=Cost.of(progress.cost_nano, unknown=progress.flagged),
        tokens=row.usage["tokens"] if row.usage else None,
        eta_seconds=_eta_seconds(row, progress),
        errors=[BatchError(**each) for each in row.errors or ()],
        metadata=row.metadata,
        status_url=url,
        results_url=f"{url}/results",
    )


def _eta_seconds(row: Row[Any], progress: Progress) -> int | None:
    done = progress.completed + progress.of(JobState.FAILED)
    if row.state != BatchState.IN_PROGRESS or not done:
        return None
    passed: float = (SystemClock().now() - row.in_progress_at).total_seconds()
    return max(round(passed * (progress.total - done) / done), 0)
