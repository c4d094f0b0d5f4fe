"""Native batches over HTTP: create, list, read, cancel, and results at any moment."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Row

from api.batches.create import Wanted, create
from api.batches.ends import ends_of
from api.batches.find import batches_of, cancel, find_batch
from api.batches.schemas import BatchCreate, BatchList, BatchRead, told
from api.batches.table import DIALECTS, NATIVE, OPENAI
from api.bodies import body_of
from api.deps import AnyParts, Parts, Reader, Writer
from api.errors import error_responses
from api.files.labels import BATCH, MONTH
from api.files.store import contents
from api.files.upload import kept
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import LaneName
from shared.db.batches import BatchPage
from shared.db.files import Label, delete_file
from shared.db.tenants import Caller
from shared.domain.batch import OPEN_BATCHES
from shared.domain.errors import InvalidRequestError
from shared.routing.policy import MOST_USD

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])
LINES_PATH: Final = "/api/v1/batches/lines"
NDJSON: Final = "application/x-ndjson"
PLACE: Final = "defaults"
BatchId = Annotated[str, Path(max_length=64)]


@router.post(
    "",
    status_code=202,
    operation_id="create_batch",
    summary="Make a batch of an uploaded file",
    responses=error_responses(400, 404, 409, 413, 422),
    openapi_extra=body_of(BatchCreate),
)
async def create_batch(request: Request, parts: AnyParts, caller: Writer) -> BatchRead:
    """Each line of the file becomes a job of the batch; `POST /v1/files` takes the file."""
    raw = await request.body()
    asked = parse_as(BatchCreate, parse_json(raw))
    cost = {} if asked.max_cost is None else {"batch_max_cost": str(asked.max_cost)}
    wanted = _wanted(
        asked.endpoint,
        input_file_id=asked.input_file_id,
        window=asked.completion_window,
        job={**asked.defaults, **cost},
        metadata=asked.metadata,
        place=PLACE,
    )
    return await told(parts, await create(parts, caller, request, wanted, raw))


@router.post(
    "/lines",
    status_code=202,
    operation_id="create_batch_of_lines",
    summary="Make a batch of the lines in the body",
    responses=error_responses(400, 409, 413, 422),
    openapi_extra={
        "requestBody": {"required": True, "content": {NDJSON: {"schema": {"type": "string"}}}}
    },
)
async def create_batch_of_lines(  # noqa: PLR0913, PLR0917 - each is a query parameter
    request: Request,
    parts: AnyParts,
    caller: Writer,
    completion_window: Annotated[str, Query(max_length=16)] = "24h",
    endpoint: Annotated[str | None, Query(max_length=64)] = None,
    lane: LaneName = "bulk",
    project: Annotated[str | None, Query(max_length=64)] = None,
    rehearse: bool = False,  # noqa: FBT001, FBT002 - a query parameter
    max_cost: Annotated[Decimal | None, Query(gt=0, le=MOST_USD, decimal_places=9)] = None,
) -> BatchRead:
    """One JSON object a line: `custom_id`, and a job's fields; it is stored while it comes.

    `max_cost`: USD that all lines may cost together.
    """
    cost = None if max_cost is None else str(max_cost)
    said = {"lane": lane, "project": project, "rehearse": rehearse, "batch_max_cost": cost}
    job = {name: value for name, value in said.items() if value is not None}
    asked = {"window": completion_window, "job": job, "place": "query"}
    _wanted(endpoint, input_file_id="", **asked)
    label = Label(purpose=BATCH, filename="lines.ndjson", seconds=MONTH)
    file, digest = await kept(parts, caller, request.stream(), label)
    raw = orjson.dumps([digest.hex(), endpoint, asked], option=orjson.OPT_SORT_KEYS)
    wanted = _wanted(endpoint, input_file_id=file.id, **asked)
    try:
        row = await create(parts, caller, request, wanted, raw)
    except BaseException:
        await _delete(parts, caller, file.id)
        raise
    if row.input_file_id != file.id:
        await _delete(parts, caller, file.id)
    return await told(parts, row)


@router.get("", operation_id="list_batches", summary="List batches", responses=error_responses(400))
async def list_batches_route(
    parts: AnyParts,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchList:
    """The caller's batches, of whatever API, the newest first."""
    page = BatchPage(after=after, limit=limit, dialects=tuple(DIALECTS))
    rows, more = await batches_of(parts, caller, page)
    data = [await told(parts, row) for row in rows]
    return BatchList(data=data, has_more=more, next=data[-1].id if more else None)


@router.get(
    "/{batch_id}",
    operation_id="get_batch",
    summary="Read a batch",
    responses=error_responses(400, 404),
)
async def get_batch(parts: AnyParts, caller: Reader, batch_id: BatchId) -> BatchRead:
    """Where it stands, what it costs so far, and when it may be done."""
    return await told(parts, await find_batch(parts, caller, batch_id))


@router.post(
    "/{batch_id}/cancel",
    operation_id="cancel_batch",
    summary="Cancel a batch",
    responses=error_responses(400, 404, 409),
)
async def cancel_batch_route(parts: AnyParts, caller: Writer, batch_id: BatchId) -> BatchRead:
    """What waits is cancelled, what runs is asked to stop; finished lines are kept."""
    return await told(parts, await cancel(parts, caller, batch_id))


@router.get(
    "/{batch_id}/results",
    operation_id="read_batch_results",
    summary="Read what is there of a batch's results",
    response_class=StreamingResponse,
    responses=error_responses(400, 404) | {200: {"content": {NDJSON: {}}}},
)
async def read_results(parts: AnyParts, caller: Reader, batch_id: BatchId) -> StreamingResponse:
    """A JSON object for each line that has ended, in their order, at any moment.

    While some are open, the header `x-incomplete` is `true`.
    """
    row = await find_batch(parts, caller, batch_id)
    going_on = row.state in OPEN_BATCHES
    lines = _so_far(parts, row) if going_on else _files(parts, row)
    return StreamingResponse(
        lines, media_type=NDJSON, headers={"x-incomplete": str(going_on).lower()}
    )


def _wanted(endpoint: str | None, **more: Any) -> Wanted:
    """Raises InvalidRequestError for an endpoint that batches do not have."""
    dialect = NATIVE if endpoint is None else OPENAI
    known = DIALECTS[dialect].endpoints
    if endpoint not in {None, *known}:
        message = f"endpoint: it must be one of {', '.join(known)}, or absent for native lines"
        raise InvalidRequestError(message, field="endpoint")
    return Wanted(dialect=dialect, endpoint=endpoint or known[0], **more)


async def _so_far(parts: Parts, row: Row[Any]) -> AsyncIterator[bytes]:
    dialect = DIALECTS[row.dialect]
    async for ends in ends_of(parts, row, nothing_open=False):
        if ends:
            yield b"".join(orjson.dumps(dialect.told(end)) + b"\n" for end in ends)


async def _files(parts: Parts, row: Row[Any]) -> AsyncIterator[bytes]:
    for file_id in filter(None, (row.output_file_id, row.error_file_id)):
        async for data in contents(parts.database, file_id):
            yield data


async def _delete(parts: Parts, caller: Caller, file_id: str) -> None:
    async with parts.database.transaction() as connection:
        await delete_file(connection, caller.tenant_id, file_id)
