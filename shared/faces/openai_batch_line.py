"""Lines of the files that a batch leaves, in OpenAI's form: a response, or why there is none."""

from collections.abc import Mapping
from typing import Any, Final

from shared.domain.ids import renamed
from shared.domain.job import JobState
from shared.faces.faults import fault_of, openai_error

OK: Final = 200
PREFIX: Final = "batch_req"
NEVER_RUN: Final[Mapping[str, tuple[str, str]]] = {
    JobState.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    JobState.CANCELLED: (
        "batch_cancelled",
        "This request was not executed because the batch was cancelled.",
    ),
}
"""What is no fault of the line: it has no response at all."""


def answered_line(job_id: str, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Of a line that has a reply."""
    return _responded(job_id, custom_id, OK, body)


def unanswered_line(
    job_id: str | None, custom_id: str, state: str, kind: str, message: str, place: str
) -> dict[str, Any]:
    """Of a line without a reply: its job's final state and the kind of its error.

    One that never was a job has its `place` for an id. What ran has a response, of its failure.
    """
    if job_id is None or state in NEVER_RUN:
        code, said = NEVER_RUN.get(state, (kind, message))
        made = renamed(job_id, PREFIX) if job_id else f"{PREFIX}_{place}"
        error = {"code": code, "message": said}
        return {"id": made, "custom_id": custom_id, "response": None, "error": error}
    fault = fault_of(kind)
    return _responded(job_id, custom_id, fault.status, openai_error(fault, kind, message))


def _responded(job_id: str, custom_id: str, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    response = {"status_code": status, "request_id": job_id, "body": body}
    made = renamed(job_id, PREFIX)
    return {"id": made, "custom_id": custom_id, "response": response, "error": None}
