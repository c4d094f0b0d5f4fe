"""Receipts: every attempt of a job or of a batch with what it cost, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

PAGE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a receipt is of: one job, or every job of a batch."""

    tenant_id: str
    job_id: str | None = None
    batch: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """The attempt that was read last."""

    job_id: str = ""
    epoch: int = 0


CHOSEN: Final = {
    "job_id": "jobs.id = :job_id",
    "batch": "jobs.batch = :batch",
}

# Jobs are walked in the order of their ids: a page reads only what it shows. Where the attempts
# begin is said, too: who merges the two would read them from the first one on.
ATTEMPTS: Final = """
SELECT attempts.id, attempts.job_id, attempts.epoch, jobs.batch, jobs.project, jobs.end_user,
       jobs.tags, jobs.key_id, attempts.deployment, attempts.state, attempts.failure_kind,
       attempts.planned_at, attempts.sent_at, attempts.ended_at, attempts.usage, attempts.price,
       attempts.hold_nano, attempts.cost_nano, attempts.provider_request_id,
       coalesce(adjusted.flagged, settled.flagged, false) AS flagged,
       adjusted.spent_nano AS corrected_nano, adjusted.reason
FROM jobs JOIN attempts ON attempts.job_id = jobs.id
LEFT JOIN ledger AS settled ON settled.attempt_id = attempts.id AND settled.kind = 'settle'
LEFT JOIN ledger AS adjusted ON adjusted.attempt_id = attempts.id AND adjusted.kind = 'adjust'
WHERE jobs.tenant_id = :tenant_id AND {chosen}
  AND jobs.id >= :after_job AND attempts.job_id >= :after_job
  AND (jobs.id, attempts.epoch) > (:after_job, :after_epoch)
ORDER BY jobs.id, attempts.epoch LIMIT :limit
"""
KNOWN: Final = "SELECT EXISTS (SELECT FROM jobs WHERE jobs.tenant_id = :tenant_id AND {chosen})"


async def is_known(connection: AsyncConnection, subject: Subject) -> bool:
    """Whether the tenant has such a job, or any job of such a batch."""
    chosen, values = _choice(subject)
    return bool((await connection.execute(text(KNOWN.format(chosen=chosen)), values)).scalar_one())


async def read_receipt(
    connection: AsyncConnection, subject: Subject, after: Position, *, limit: int = PAGE
) -> Sequence[Row[Any]]:
    """At most `limit` attempts that come after that one, by job and by the order of their making.

    Money is nano-USD; `flagged`: nobody knows the bill, the hold is charged; `corrected_nano`
    is what a later word about it added or took away.
    """
    chosen, values = _choice(subject)
    asked = {
        **values, "after_job": after.job_id, "after_epoch": after.epoch, "limit": limit
    }  # fmt: skip
    return (await connection.execute(text(ATTEMPTS.format(chosen=chosen)), asked)).all()


def _choice(subject: Subject) -> tuple[str, dict[str, Any]]:
    name = "job_id" if subject.job_id is not None else "batch"
    return CHOSEN[name], {"tenant_id": subject.tenant_id, name: getattr(subject, name)}
