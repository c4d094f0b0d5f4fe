"""Find what a response's id names: the job, what its replies repeat, and what was said in it."""

from dataclasses import dataclass
from typing import Any

from api.deps import Parts
from api.jobs.find import find_job
from api.jobs.schemas import JobRead
from shared.db.echoes import read_echo, read_request
from shared.db.tenants import Caller
from shared.domain.errors import InvalidRequestError, NotFoundError
from shared.domain.face import Face
from shared.domain.ids import IdKind, renamed
from shared.domain.job import JobState
from shared.faces.openai_messages import Json, wanted
from shared.faces.responses_items import answer_turn, items_of
from shared.faces.responses_reply import PREFIX, Snapshot, response_of, status_of
from shared.faces.responses_request import PREVIOUS


@dataclass(frozen=True, slots=True)
class Found:
    """A response that the caller may read."""

    job: JobRead
    echo: Json
    """What its replies repeat."""

    @property
    def snapshot(self) -> Snapshot:
        """The job as a response shows it."""
        return snapshot_of(self.job)

    def shown(self) -> Json:
        """The Response object."""
        return response_of(self.snapshot, self.echo)


def snapshot_of(job: JobRead) -> Snapshot:
    """A job as a response shows it."""
    return Snapshot(
        job_id=job.id,
        state=job.state,
        began=job.started_at is not None,
        created=int(job.created_at.timestamp()),
        ended=int(job.finished_at.timestamp()) if job.finished_at else None,
        model=job.model,
        result=job.result,
        error_kind=job.error.kind if job.error else None,
        error=job.error.message if job.error else None,
    )


async def find_response(parts: Parts, caller: Caller, response_id: str) -> Found:
    """The response as it stands.

    Raises NotFoundError for any other id: another tenant's, another face's, one that was deleted,
    or that was made with `store: false`.
    """
    prefix, _, rest = response_id.partition("_")
    job_id = renamed(response_id, IdKind.JOB)
    async with parts.database.transaction() as connection:
        echo = await read_echo(connection, caller.tenant_id, job_id, Face.RESPONSE)
    if echo is None or echo.get("store") is False or prefix != PREFIX or not rest:
        message = f"no response {response_id!r}"
        raise NotFoundError(message)
    return Found(await find_job(parts, caller, job_id), echo)


async def turns_before(parts: Parts, caller: Caller, body: Json) -> list[Any] | None:
    """What was said in and before the response that a body goes on from; None: there is none.

    Raises InvalidRequestError that names the parameter.
    """
    if body.get(PREVIOUS) is None:
        return None
    earlier = wanted(body[PREVIOUS], str, PREVIOUS, "a string")
    try:
        found = await find_response(parts, caller, earlier)
    except NotFoundError as error:
        raise InvalidRequestError(f"{PREVIOUS}: {error.message}", field=PREVIOUS) from None
    if found.job.state is not JobState.SUCCEEDED or found.job.result is None:
        status = status_of(found.snapshot, found.echo)
        message = f"{PREVIOUS}: {earlier} is {status}; only an answer can be gone on from"
        raise InvalidRequestError(message, field=PREVIOUS)
    _, turns = await _turns(parts, caller, found)
    return [*turns, answer_turn(found.job.result)]


async def input_items(parts: Parts, caller: Caller, found: Found) -> list[Json]:
    """What was sent in as the input of a response, as items, the first first."""
    inherited, turns = await _turns(parts, caller, found)
    return items_of(turns[inherited:], found.job.id.partition("_")[2])


async def _turns(parts: Parts, caller: Caller, found: Found) -> tuple[int, list[Any]]:
    """How many turns came from an earlier response, and all of them but the instructions."""
    async with parts.database.transaction() as connection:
        request = await read_request(connection, caller.tenant_id, found.job.id)
    turns = (request or {}).get("messages", [])
    return found.echo["inherited"], turns[1:] if found.echo.get("instructions") else turns
