"""Ask through a face: a request in another API's words becomes a job, its end an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import Request

from api.deps import Parts
from api.faces.retries import creating
from api.jobs.find import cut_short, job_after, not_yet
from api.jobs.parse import parse_as
from api.jobs.schemas import JobRead, JobSubmit
from api.jobs.submit import Submission, submit
from shared.db.accept import Accepted
from shared.db.tenants import Caller
from shared.domain.errors import GenerationFailedError, InvalidRequestError
from shared.domain.face import Face
from shared.domain.job import FINAL_STATES, JobState

EXTENSION: Final = "promptmill"
"""The parameter of a body that holds what only this server knows: fields of a JobSubmit."""
OWN_FIELDS: Final = frozenset(JobSubmit.model_fields) - {"request"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one request through a face asks for."""

    face: Face | None
    """None: a native form."""
    request: Mapping[str, Any]
    """The JSON of a GenerationRequest."""
    raw: bytes
    """The body as it came."""
    body: Mapping[str, Any]
    """The same, parsed."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a JobSubmit beside the request."""
    echo: Mapping[str, Any] | None = None
    """What replies of this face repeat."""


def extension_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a JobSubmit that a body of another API carries along.

    Raises InvalidRequestError that names the field which a job does not have.
    """
    own = body.get(EXTENSION)
    if own is None:
        return {}
    if not isinstance(own, dict):
        message = f"{EXTENSION}: it must be an object of a job's own fields"
        raise InvalidRequestError(message, field=EXTENSION)
    if unknown := sorted(own.keys() - OWN_FIELDS):
        message = f"{EXTENSION}.{unknown[0]}: a job has no such field"
        raise InvalidRequestError(message, field=f"{EXTENSION}.{unknown[0]}")
    return dict(own)


async def ask(parts: Parts, caller: Caller, http: Request, asked: Ask) -> Accepted:
    """Accept it as a job of the interactive lane, or find the job that a retry asks for again.

    Raises what `submit` raises; errors name the parameter of the face's body.
    """
    fields = {"lane": "interactive", **asked.more, "request": asked.request}
    try:
        job = parse_as(JobSubmit, fields)
        async with creating(parts, caller, http, asked.raw) as key:
            submission = Submission(
                job, asked.body, len(asked.raw), key, face=asked.face, echo=asked.echo
            )
            [accepted] = await submit(parts, caller, [submission])
    except InvalidRequestError as error:
        _in_the_body(error, asked.body)
        raise
    return accepted


def _in_the_body(error: InvalidRequestError, body: Mapping[str, Any]) -> None:
    """Let the error name the place in the caller's body, not in the job that it became."""
    field = (error.field or "").removeprefix("request.")
    own = body.get(EXTENSION) or {}
    where = f"{EXTENSION}." if field.partition(".")[0].partition("[")[0] in own else ""
    error.field = where + field or None
    error.message = where + error.message.removeprefix("request.")


async def answer(parts: Parts, caller: Caller, accepted: Accepted) -> JobRead:
    """The job with its result.

    Raises GenerationFailedError where it ended without one, NotYetError where it goes on, and
    CutShortError where this process does not.
    """
    job = await job_after(
        parts,
        caller,
        accepted.job_id,
        parts.settings.api.sync_wait,
        look_first=accepted.replayed,
    )
    if parts.waiters.leaving and job.state not in FINAL_STATES:
        raise cut_short(job.id)
    require_answer(job)
    return job


def require_answer(job: JobRead) -> None:
    """Raises GenerationFailedError where it ended without a result, NotYetError if it goes on."""
    if job.state not in FINAL_STATES:
        raise not_yet(job.id)
    if job.state is not JobState.SUCCEEDED:
        kind = job.error.kind if job.error else str(job.state)
        message = job.error.message if job.error else f"the job has {job.state}"
        raise GenerationFailedError(message, kind=kind, job_id=job.id)
