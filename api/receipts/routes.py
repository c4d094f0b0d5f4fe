"""Receipts over HTTP: every attempt of a job or a batch, and their sum at the end."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import Row

from api.deps import AnyParts, Parts, Reader
from api.errors import error_responses
from api.receipts.lines import Form, JsonLines, Table, Total, line_of
from shared.db.receipts import Position, Subject, is_known, read_receipt
from shared.domain.errors import NotFoundError

router = APIRouter(prefix="/api/v1", tags=["money"])
FORMS: Final[dict[str, Form]] = {"jsonl": JsonLines(), "csv": Table()}
SHAPES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A line for each attempt; the last one has the sums",
        "content": {form.media_type.partition(";")[0]: {} for form in FORMS.values()},
    },
    **error_responses(404),
}
FormName = Annotated[
    Literal["jsonl", "csv"], Query(alias="format", description="JSON lines, or a table")
]


@router.get(
    "/jobs/{job_id}/receipt",
    operation_id="get_job_receipt",
    summary="What each attempt of a job cost, and by which price",
    response_class=StreamingResponse,
    responses=SHAPES,
)
async def job_receipt(
    parts: AnyParts,
    caller: Reader,
    job_id: Annotated[str, Path(max_length=64)],
    form: FormName = "jsonl",
) -> StreamingResponse:
    """A receipt without its last line is not whole: ask again."""
    subject = Subject(tenant_id=caller.tenant_id, job_id=job_id)
    return await _receipt(parts, subject, FORMS[form])


@router.get(
    "/batches/{batch:path}/receipt",
    operation_id="get_batch_receipt",
    summary="What each attempt of a batch's jobs cost, and by which price",
    response_class=StreamingResponse,
    responses=SHAPES,
)
async def batch_receipt(
    parts: AnyParts,
    caller: Reader,
    batch: Annotated[str, Path(max_length=64)],
    form: FormName = "jsonl",
) -> StreamingResponse:
    """The attempts stand in the order in which their jobs were made."""
    subject = Subject(tenant_id=caller.tenant_id, batch=batch)
    return await _receipt(parts, subject, FORMS[form])


async def _receipt(parts: Parts, subject: Subject, form: Form) -> StreamingResponse:
    """It begins once the first page is there: until then an error has a status."""
    async with parts.database.transaction() as connection:
        known = await is_known(connection, subject)
        first = await read_receipt(connection, subject, Position()) if known else ()
    if not known:
        what = f"job {subject.job_id!r}" if subject.job_id else f"job of a batch {subject.batch!r}"
        raise NotFoundError(f"no {what}")
    name = f'attachment; filename="receipt.{form.suffix}"'
    return StreamingResponse(
        _written(parts, subject, form, first),
        media_type=form.media_type,
        headers={"content-disposition": name},
    )


async def _written(
    parts: Parts, subject: Subject, form: Form, page: Sequence[Row[Any]]
) -> AsyncIterator[bytes]:
    """Page by page: no transaction is open while a slow reader reads."""
    total = Total()
    yield form.head()
    while page:
        lines = [line_of(row) for row in page]
        for line in lines:
            total.add(line)
        yield b"".join(map(form.line, lines))
        after = Position(page[-1].job_id, page[-1].epoch)
        async with parts.database.transaction() as connection:
            page = await read_receipt(connection, subject, after)
    yield form.total(total)
