"""Batches of Anthropic's messages over HTTP: create, list, read, cancel, delete, results."""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Row

from api.anthropic.batch_results import results_of
from api.anthropic.batch_schemas import (
    PATH,
    REQUESTS,
    BatchCreate,
    MessageBatch,
    MessageBatchDeleted,
    MessageBatches,
    batch_id_of,
    told,
)
from api.batches.create import Wanted, create, job_fields
from api.batches.find import batches_of, cancel, find_batch
from api.batches.table import ANTHROPIC
from api.bodies import body_of
from api.deps import AnyParts, Parts, Reader, Writer
from api.error_shapes import Dialect
from api.errors import error_responses
from api.files.labels import BATCH, MONTH
from api.files.upload import kept
from shared.db.batches import BatchPage
from shared.db.files import Label, delete_file
from shared.db.forget import forget_batch
from shared.db.tenants import Caller
from shared.domain.batch import OPEN_BATCHES
from shared.domain.errors import ConflictError, InvalidRequestError
from shared.faces.anthropic_batch import Beside, lines_of
from shared.faces.anthropic_request import MESSAGES

router = APIRouter(prefix=PATH, tags=["anthropic"])
JSONL: Final = "application/x-jsonl"
WINDOW: Final = "24h"
BatchId = Annotated[str, Path(max_length=64)]
PageId = Annotated[str | None, Query(max_length=64)]


@router.post(
    "",
    operation_id="create_message_batch",
    summary="Make a batch of messages",
    responses=error_responses(400, 404, 409, 413, dialect=Dialect.ANTHROPIC),
    openapi_extra=body_of(BatchCreate),
)
async def create_message_batch(request: Request, parts: AnyParts, caller: Writer) -> MessageBatch:
    """Each request becomes a job; a retry of the same create finds the same batch."""
    api, beside = parts.settings.api, Beside()
    lines = lines_of(request.stream(), beside, longest=api.max_body_bytes, most=api.max_batch_lines)
    label = Label(purpose=BATCH, filename="requests.jsonl", seconds=MONTH)
    file, digest = await kept(parts, caller, lines, label)
    raw = orjson.dumps([digest.hex(), beside.more], option=orjson.OPT_SORT_KEYS)
    row = None
    try:
        row = await create(parts, caller, request, _wanted(file.id, beside), raw)
    finally:
        if row is None or row.input_file_id != file.id:
            await _drop_file(parts, caller, file.id)
    return await told(parts, request, row)


@router.get(
    "",
    operation_id="list_message_batches",
    summary="List batches of messages",
    responses=error_responses(400, 404, dialect=Dialect.ANTHROPIC),
)
async def list_message_batches(
    request: Request,
    parts: AnyParts,
    caller: Reader,
    after_id: PageId = None,
    before_id: PageId = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> MessageBatches:
    """The caller's batches, the newest first."""
    if after_id and before_id:
        message = "before_id: it does not go with after_id; leave one of them out"
        raise InvalidRequestError(message, field="before_id")
    page = BatchPage(
        after=after_id and batch_id_of(after_id),
        before=before_id and batch_id_of(before_id),
        limit=limit,
        dialects=(ANTHROPIC,),
    )
    rows, more = await batches_of(parts, caller, page)
    data = [await told(parts, request, row) for row in (rows[::-1] if before_id else rows)]
    ids: list[str | None] = [each.id for each in data] or [None]
    return MessageBatches(data=data, has_more=more, first_id=ids[0], last_id=ids[-1])


@router.get(
    "/{message_batch_id}",
    operation_id="get_message_batch",
    summary="Read a batch of messages",
    responses=error_responses(400, 404, dialect=Dialect.ANTHROPIC),
)
async def get_message_batch(
    request: Request, parts: AnyParts, caller: Reader, message_batch_id: BatchId
) -> MessageBatch:
    """Where it stands; the requests are counted once all of them have ended."""
    return await told(parts, request, await _found(parts, caller, message_batch_id))


@router.post(
    "/{message_batch_id}/cancel",
    operation_id="cancel_message_batch",
    summary="Cancel a batch of messages",
    responses=error_responses(400, 404, 409, dialect=Dialect.ANTHROPIC),
)
async def cancel_message_batch(
    request: Request, parts: AnyParts, caller: Writer, message_batch_id: BatchId
) -> MessageBatch:
    """What waits is cancelled, what runs is asked to stop; finished requests are kept."""
    batch_id = batch_id_of(message_batch_id)
    return await told(parts, request, await cancel(parts, caller, batch_id, (ANTHROPIC,)))


@router.delete(
    "/{message_batch_id}",
    operation_id="delete_message_batch",
    summary="Delete a batch of messages",
    responses=error_responses(400, 404, 409, dialect=Dialect.ANTHROPIC),
)
async def delete_message_batch(
    parts: AnyParts, caller: Writer, message_batch_id: BatchId
) -> MessageBatchDeleted:
    """It and its results are gone; its jobs stay in the ledger."""
    row = await _found(parts, caller, message_batch_id)
    _require_ended(row)
    async with parts.database.transaction() as connection:
        await forget_batch(connection, caller.tenant_id, row.id)
    return MessageBatchDeleted(id=message_batch_id)


@router.get(
    "/{message_batch_id}/results",
    operation_id="read_message_batch_results",
    summary="Read the results of a batch of messages",
    response_class=StreamingResponse,
    responses=error_responses(400, 404, 409, dialect=Dialect.ANTHROPIC)
    | {200: {"content": {JSONL: {"schema": {"type": "string"}}}}},
)
async def read_message_batch_results(
    parts: AnyParts, caller: Reader, message_batch_id: BatchId
) -> StreamingResponse:
    """A JSON object for each request, in their order, once all have ended."""
    row = await _found(parts, caller, message_batch_id)
    _require_ended(row)
    return StreamingResponse(results_of(parts, row), media_type=JSONL)


def _wanted(file_id: str, beside: Beside) -> Wanted:
    return Wanted(
        dialect=ANTHROPIC,
        endpoint=MESSAGES,
        input_file_id=file_id,
        window=WINDOW,
        job=job_fields(beside.more),
        metadata={REQUESTS: str(beside.count)},
        brings_file=True,
    )


async def _found(parts: Parts, caller: Caller, message_batch_id: str) -> Row[Any]:
    return await find_batch(parts, caller, batch_id_of(message_batch_id), (ANTHROPIC,))


def _require_ended(row: Row[Any]) -> None:
    if row.state in OPEN_BATCHES:
        message = "the batch has not ended yet; wait for it, or cancel it"
        raise ConflictError(message)


async def _drop_file(parts: Parts, caller: Caller, file_id: str) -> None:
    async with parts.database.transaction() as connection:
        await delete_file(connection, caller.tenant_id, file_id)
