"""The most that a batch may cost: a budget of its own, made with the first job that says it."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from api.jobs.schemas import JobSubmit
from shared.db.budget_rows import cap_batches
from shared.db.tenants import Caller
from shared.domain.errors import ConflictError
from shared.domain.money import show_usd


async def budget_batches(
    connection: AsyncConnection, caller: Caller, jobs: Iterable[JobSubmit]
) -> None:
    """Make the budget of each batch that these new jobs name a most for, unless it is there.

    Raises ConflictError when it is there with another cap.
    """
    caps: dict[str, int] = {}
    for job in jobs:
        if job.batch is not None and (nano := job.batch_max_nano) is not None:
            _require_same(job.batch, caps.setdefault(job.batch, nano), nano)
    if not caps:
        return
    for batch, nano in (await cap_batches(connection, caller.tenant_id, caps)).items():
        _require_same(batch, nano, caps[batch])


def _require_same(batch: str, first_nano: int, nano: int) -> None:
    if nano != first_nano:
        message = (
            f"batch_max_cost: the batch {batch!r} may cost {show_usd(first_nano)} already, not "
            f"{show_usd(nano)}: send that, leave it out, or change its budget `batch:{batch}`"
        )
        raise ConflictError(message, field="batch_max_cost")
