"""What the headers of a face's reply say that its body has no place for."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from api.deps import Parts
from api.jobs.schemas import JobRead
from shared.catalog.wires import NOTHING
from shared.db.accept import Accepted
from shared.db.stored_request import stored_fields

JOB: Final = "x-promptmill-job"
MODEL: Final = "x-promptmill-model"
COST: Final = "x-promptmill-cost-usd"
DROPPED: Final = "x-promptmill-dropped"
REPLAYED: Final = "idempotent-replayed"
KEPT: Final = frozenset({"metadata"})
"""The job keeps it, whether its provider has a place for it or not."""
MOST_NAMED: Final = 20
LONGEST: Final = 128
OPTIONS: Final = frozenset(NOTHING) - KEPT


async def dropped(
    parts: Parts,
    accepted: Accepted,
    request: Mapping[str, Any],
    set_aside: Iterable[str],
    called: Callable[[str], str] = str,
) -> tuple[str, ...]:
    """The parameters that nobody obeys: those set aside, and options that were left out.

    `request`: the JSON of a GenerationRequest as it was asked for; `called`: from its field to
    the parameter of the face.
    """
    asked = [name for name, value in request.items() if name in OPTIONS and value]
    if not asked:
        return tuple(set_aside)
    async with parts.database.transaction() as connection:
        kept = await stored_fields(connection, accepted.job_id)
    return (*set_aside, *(called(name) for name in asked if name not in kept))


def head_of(
    accepted: Accepted, dropped: Iterable[str] = (), job: JobRead | None = None
) -> dict[str, str]:
    """The headers of a reply; a stream's begins before its `job` has ended."""
    head = {JOB: accepted.job_id}
    if accepted.replayed:
        head[REPLAYED] = "true"
    if names := [_plain(name) for name in dropped][:MOST_NAMED]:
        head[DROPPED] = ", ".join(names)
    if job is not None:
        head[MODEL] = _plain(str((job.result or {}).get("model") or job.model))
        head[COST] = job.cost.usd
    return head


def _plain(text: str) -> str:
    """As a header can hold it, whoever wrote it."""
    return ascii(text[:LONGEST])[1:-1]
