"""Find, list and cancel batches of the caller."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from api.deps import Parts
from shared.db.batches import BatchPage, cancel_batch, list_batches, read_batch
from shared.db.tenants import Caller
from shared.domain.batch import BatchState
from shared.domain.errors import ConflictError, NotFoundError


async def find_batch(
    parts: Parts, caller: Caller, batch_id: str, dialects: Sequence[str] = ()
) -> Row[Any]:
    """The batch as it stands; NotFoundError, too, for another tenant's or of other dialects."""
    async with parts.database.transaction() as connection:
        row = await read_batch(connection, caller.tenant_id, batch_id)
    if row is None or (dialects and row.dialect not in dialects):
        message = f"No batch found with id '{batch_id}'."
        raise NotFoundError(message, field="id")
    return row


async def batches_of(parts: Parts, caller: Caller, page: BatchPage) -> tuple[list[Row[Any]], bool]:
    """A page of the caller's batches, and whether there are more."""
    async with parts.database.transaction() as connection:
        rows = await list_batches(connection, caller.tenant_id, page)
    return rows[: page.limit], len(rows) > page.limit


async def cancel(
    parts: Parts, caller: Caller, batch_id: str, dialects: Sequence[str] = ()
) -> Row[Any]:
    """The batch, now being cancelled. Raises NotFoundError, ConflictError if it is over."""
    found = await find_batch(parts, caller, batch_id, dialects)
    async with parts.database.transaction() as connection:
        cancelled = await cancel_batch(connection, caller.tenant_id, batch_id)
    if cancelled is not None:
        return cancelled
    found = await find_batch(parts, caller, batch_id, dialects)
    if found.state in {BatchState.CANCELLING, BatchState.CANCELLED}:
        return found
    message = f"Cannot cancel a batch with status '{found.state}'."
    raise ConflictError(message)
