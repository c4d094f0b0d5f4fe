"""Every way in which a worker may report the end of a call."""

from typing import Any, Final

from shared.domain.attempt import AttemptState
from shared.domain.failure import FailureKind
from shared.domain.job import JobState, WaitReason
from tests.life import COST

LONG: Final = 3600.0

VERDICTS: Final[dict[str, dict[str, Any]]] = {
    "answered": {},
    "answered without a price": {"cost_nano": None},
    "sanitised": {"sanitised": True},
    "refused": {
        "attempt_state": AttemptState.REFUSED,
        "job_state": JobState.FAILED,
        "failure_kind": FailureKind.BAD_REQUEST,
        "cost_nano": 0,
    },
    "failed, to be retried": {
        "attempt_state": AttemptState.FAILED,
        "job_state": JobState.SCHEDULED,
        "wait_reason": WaitReason.BACKOFF,
        "failure_kind": FailureKind.SERVER,
        "spends_try": True,
        "cost_nano": 0,
    },
    "failed, to be retried much later": {
        "attempt_state": AttemptState.FAILED,
        "job_state": JobState.SCHEDULED,
        "wait_reason": WaitReason.BACKOFF,
        "failure_kind": FailureKind.OVERLOADED,
        "spends_try": True,
        "delay_seconds": LONG,
        "cost_nano": 0,
    },
    "failed, to go elsewhere": {
        "attempt_state": AttemptState.FAILED,
        "job_state": JobState.SCHEDULED,
        "wait_reason": WaitReason.BACKOFF,
        "failure_kind": FailureKind.QUOTA,
        "spends_try": True,
        "tried": "openai/gpt-4.1-mini",
        "cost_nano": 0,
    },
    "failed for the last time, billed": {
        "attempt_state": AttemptState.FAILED,
        "job_state": JobState.FAILED,
        "failure_kind": FailureKind.BAD_RESPONSE,
        "spends_try": True,
        "cost_nano": COST,
    },
    "told to wait": {
        "attempt_state": AttemptState.FAILED,
        "job_state": JobState.QUEUED,
        "failure_kind": FailureKind.RATE_LIMITED,
        "cost_nano": 0,
    },
    "broken off on its way": {
        "attempt_state": AttemptState.UNKNOWN,
        "job_state": JobState.SCHEDULED,
        "wait_reason": WaitReason.BACKOFF,
        "failure_kind": FailureKind.CONNECTION,
        "spends_try": True,
        "cost_nano": None,
    },
    "handed back at the worker's end": {
        "attempt_state": AttemptState.UNKNOWN,
        "job_state": JobState.QUEUED,
        "failure_kind": FailureKind.INTERRUPTED,
        "cost_nano": None,
    },
    "stopped for its owner": {
        "attempt_state": AttemptState.UNKNOWN,
        "job_state": JobState.CANCELLED,
        "failure_kind": FailureKind.INTERRUPTED,
        "cost_nano": None,
    },
    "never sent": {
        "attempt_state": AttemptState.FAILED,
        "job_state": JobState.QUEUED,
        "failure_kind": FailureKind.INTERRUPTED,
        "cost_nano": 0,
    },
}
