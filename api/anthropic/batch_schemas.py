"""The public shapes of Anthropic's batches."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row

from api.batches.counts import BATCH_COUNTS, Progress
from api.deps import Parts
from api.jobs.schemas import Cost, Moment
from shared.domain.batch import OPEN_BATCHES, BatchState
from shared.domain.errors import NotFoundError
from shared.domain.ids import IdKind, renamed
from shared.domain.job import JobState
from shared.faces.anthropic_request import MESSAGES

PATH: Final = f"{MESSAGES}/batches"
PREFIX: Final = "msgbatch"
REQUESTS: Final = "requests"
"""What in a batch's metadata is the number of its requests: it is known before they are read."""
COUNTED: Final[Mapping[str, JobState]] = {
    "succeeded": JobState.SUCCEEDED,
    "errored": JobState.FAILED,
    "canceled": JobState.CANCELLED,
    "expired": JobState.EXPIRED,
}


class BatchedRequest(BaseModel):
    """One message of a batch."""

    custom_id: str
    """1 to 64 letters, digits, hyphens or underscores; what its result is found by."""
    params: dict[str, Any]
    """As `POST /v1/messages` takes it, without `stream`."""


class BatchCreate(BaseModel):
    """What a batch is made of."""

    requests: list[BatchedRequest]
    promptmill: dict[str, Any] | None = None
    """Fields of a job for each request, and `max_cost` of all together in USD."""


class RequestCounts(BaseModel):
    """Requests by what became of them; all are told at the end of the last."""

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0


class MessageBatch(BaseModel):
    """A batch as Anthropic's API tells of it."""

    model_config = ConfigDict(extra="forbid")

    id: str
    type: Literal["message_batch"] = "message_batch"
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: RequestCounts
    created_at: Moment
    expires_at: Moment
    ended_at: Moment | None
    cancel_initiated_at: Moment | None
    archived_at: Moment | None = None
    results_url: str | None
    promptmill: dict[str, Any]
    """What it costs so far, and where its results can be read at any moment."""


class MessageBatches(BaseModel):
    """One page of batches, the newest first."""

    data: list[MessageBatch]
    has_more: bool
    first_id: str | None
    last_id: str | None


class MessageBatchDeleted(BaseModel):
    """It is gone."""

    id: str
    type: Literal["message_batch_deleted"] = "message_batch_deleted"


def batch_id_of(id_: str) -> str:
    """Our own id of a batch. Raises NotFoundError for what is no id of one."""
    if not id_.startswith(f"{PREFIX}_"):
        message = f"no message batch {id_!r}"
        raise NotFoundError(message)
    return renamed(id_, IdKind.BATCH)


async def told(parts: Parts, http: Request, row: Row[Any]) -> MessageBatch:
    """From a row of shared/db/batches.py; its URL is of the host that was asked."""
    progress = await BATCH_COUNTS.progress(parts, row)
    id_, ended = renamed(row.id, PREFIX), row.state not in OPEN_BATCHES
    cancelling = row.state == BatchState.CANCELLING
    return MessageBatch(
        id=id_,
        processing_status="ended" if ended else "canceling" if cancelling else "in_progress",
        request_counts=_counts(row, progress),
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.completed_at or row.failed_at or row.expired_at or row.cancelled_at,
        cancel_initiated_at=row.cancelling_at,
        results_url=f"{http.base_url}{PATH.removeprefix('/')}/{id_}/results" if ended else None,
        promptmill={
            "cost": Cost.of(progress.cost_nano, unknown=progress.flagged).model_dump(),
            "results_url": f"/api/v1/batches/{row.id}/results",
        },
    )


def _counts(row: Row[Any], progress: Progress) -> RequestCounts:
    known = int((row.metadata or {}).get(REQUESTS, row.total))
    if row.state in OPEN_BATCHES:
        return RequestCounts(processing=known)
    if row.state == BatchState.FAILED:
        return RequestCounts(errored=known)
    return RequestCounts(**{name: progress.of(state) for name, state in COUNTED.items()})
