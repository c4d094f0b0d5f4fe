"""What is ordered of all jobs at once: end these, call that provider no more."""

import structlog

from shared.db.cancel import cancel
from shared.db.engine import Database
from shared.db.providers import exhausted
from shared.domain.job import JobState
from shared.doorbell import Bell, Doorbell

log = structlog.get_logger(__name__)


async def cancel_all(database: Database, doorbell: Doorbell, job_ids: list[str]) -> None:
    """Cancel these jobs, wherever they are, by the operator's right. Raises database errors."""
    ended = []
    for job_id in job_ids:
        async with database.transaction() as connection:
            # A permit that nobody uses expires by itself.
            state, _ = await cancel(connection, None, job_id)
        if state is JobState.CANCELLED:
            ended.append(job_id)
    if ended:
        await doorbell.ring(Bell.DONE, ended)
    await doorbell.ring(Bell.CANCEL, job_ids)


async def switch_off(database: Database, provider_id: str, reason: str) -> None:
    """The provider's quota is used up; best effort: the next refusal says it again."""
    try:
        async with database.transaction() as connection:
            if await exhausted(connection, provider_id, reason):
                log.error("provider_switched_off", what=provider_id)
    except Exception as error:  # noqa: BLE001 - the attempt's own end matters more
        log.warning("provider_not_switched_off", error=type(error).__name__)
