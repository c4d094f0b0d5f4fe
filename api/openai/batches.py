"""OpenAI's Batches: create, list, read, cancel."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row

from api.batches.counts import BATCH_COUNTS, Progress
from api.batches.create import Wanted, create, job_fields
from api.batches.find import batches_of, cancel, find_batch
from api.batches.openai_lines import ENDPOINTS
from api.batches.table import NATIVE, OPENAI
from api.bodies import body_of
from api.deps import AnyParts, Parts, Reader, Writer
from api.error_shapes import Dialect
from api.errors import error_responses
from api.files.labels import MONTH, expiry_seconds
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import Cost, Metadata
from api.openai.pages import page_of
from shared.db.batches import BatchPage
from shared.domain.batch import BatchState
from shared.domain.errors import InvalidRequestError

router = APIRouter(prefix="/v1/batches", tags=["openai"])
BatchId = Annotated[str, Path(max_length=64)]
SEEN: Final = (OPENAI, NATIVE)
EXPIRY: Final = "output_expires_after"
MOMENTS: Final = (
    "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled",
)  # fmt: skip


class BatchCreate(BaseModel):
    """What a batch is made of."""

    model_config = ConfigDict(extra="ignore")

    input_file_id: Annotated[str, Field(min_length=1, max_length=64)]
    endpoint: str
    completion_window: str = "24h"
    """`24h`, or another number of s, m, h or d up to 7d."""
    metadata: Metadata | None = None
    output_expires_after: dict[str, Any] | None = None
    promptmill: dict[str, Any] | None = None
    """Fields of a job for each line, and `max_cost` of all together in USD."""


class RequestCounts(BaseModel):
    """Lines by what became of them."""

    total: int
    completed: int
    failed: int


class BatchObject(BaseModel):
    """A batch as OpenAI tells of it; times are Unix seconds."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: dict[str, Any] | None
    input_file_id: str
    completion_window: str
    status: BatchState
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: dict[str, Any] | None
    metadata: dict[str, str] | None
    promptmill: dict[str, Any]
    """What it costs so far, and where its results can be read at any moment."""


class BatchObjects(BaseModel):
    """One page of batches."""

    object: Literal["list"]
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post(
    "",
    operation_id="openai_create_batch",
    summary="Create a batch",
    responses=error_responses(400, 404, 409, 413, dialect=Dialect.OPENAI),
    openapi_extra=body_of(BatchCreate),
)
async def create_batch(request: Request, parts: AnyParts, caller: Writer) -> BatchObject:
    """Every line of the file becomes a job; a retry of the same create finds the same batch."""
    raw = await request.body()
    body = parse_json(raw)
    asked = parse_as(BatchCreate, body)
    if asked.endpoint not in ENDPOINTS:
        message = f"endpoint: it must be one of {', '.join(ENDPOINTS)}, not {asked.endpoint!r}"
        raise InvalidRequestError(message, field="endpoint")
    expiry = asked.output_expires_after
    wanted = Wanted(
        dialect=OPENAI,
        endpoint=asked.endpoint,
        input_file_id=asked.input_file_id,
        window=asked.completion_window,
        job=job_fields(body),
        metadata=asked.metadata,
        output_seconds=MONTH if expiry is None else expiry_seconds(expiry, EXPIRY),
    )
    return await _told(parts, await create(parts, caller, request, wanted, raw))


@router.get(
    "",
    operation_id="openai_list_batches",
    summary="List batches",
    responses=error_responses(400, dialect=Dialect.OPENAI),
)
async def list_batches_route(
    parts: AnyParts,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchObjects:
    """The caller's batches, the newest first."""
    page = BatchPage(after=after, limit=limit, dialects=SEEN)
    rows, more = await batches_of(parts, caller, page)
    data = [(await _told(parts, row)).model_dump() for row in rows]
    return BatchObjects.model_validate(page_of(data, more=more))


@router.get(
    "/{batch_id}",
    operation_id="openai_get_batch",
    summary="Read a batch",
    responses=error_responses(400, 404, dialect=Dialect.OPENAI),
)
async def get_batch(parts: AnyParts, caller: Reader, batch_id: BatchId) -> BatchObject:
    """Where it stands."""
    return await _told(parts, await find_batch(parts, caller, batch_id, SEEN))


@router.post(
    "/{batch_id}/cancel",
    operation_id="openai_cancel_batch",
    summary="Cancel a batch",
    responses=error_responses(400, 404, 409, dialect=Dialect.OPENAI),
)
async def cancel_batch_route(parts: AnyParts, caller: Writer, batch_id: BatchId) -> BatchObject:
    """What waits is cancelled, what runs is asked to stop; finished lines are kept."""
    return await _told(parts, await cancel(parts, caller, batch_id, SEEN))


async def _told(parts: Parts, row: Row[Any]) -> BatchObject:
    progress = await BATCH_COUNTS.progress(parts, row)
    moments: dict[str, Any] = {
        f"{name}_at": _seconds(getattr(row, f"{name}_at")) for name in MOMENTS
    }
    return BatchObject(
        id=row.id,
        endpoint=row.endpoint,
        model=row.model,
        errors={"object": "list", "data": row.errors} if row.errors else None,
        input_file_id=row.input_file_id,
        completion_window=row.options["window"],
        status=row.state,
        output_file_id=row.output_file_id,
        error_file_id=row.error_file_id,
        created_at=int(row.created_at.timestamp()),
        expires_at=int(row.expires_at.timestamp()),
        request_counts=RequestCounts(
            total=progress.total, completed=progress.completed, failed=progress.failed
        ),
        usage=_usage(row.usage),
        metadata=row.metadata,
        promptmill=_ours(row, progress),
        **moments,
    )


def _seconds(moment: Any) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _usage(kept: dict[str, Any] | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    tokens = kept["tokens"]
    return {
        "input_tokens": tokens["input_tokens"],
        "input_tokens_details": {"cached_tokens": tokens["cached_tokens"]},
        "output_tokens": tokens["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": tokens["reasoning_tokens"]},
        "total_tokens": tokens["input_tokens"] + tokens["output_tokens"],
    }


def _ours(row: Row[Any], progress: Progress) -> dict[str, Any]:
    return {
        "cost": Cost.of(progress.cost_nano, unknown=progress.flagged).model_dump(),
        "results_url": f"/api/v1/batches/{row.id}/results",
    }
