"""Why a call failed and what follows: one table."""

from enum import StrEnum
from typing import Final

from shared.domain.attempt import AttemptState


class FailureKind(StrEnum):
    """Why a call gave no usable answer."""

    RATE_LIMITED = "rate_limited"
    SLOW_DOWN = "slow_down"
    """The rate grew faster than the provider lets it: less at first, then more again."""
    QUOTA = "quota"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    CONTEXT_LENGTH = "context_length"
    TOO_LARGE = "too_large"
    CONTENT_FILTERED = "content_filtered"
    OVERLOADED = "overloaded"
    SERVER = "server"
    BAD_REQUEST = "bad_request"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    """The connection broke after the request was on its way: it may have been billed."""
    UNREACHABLE = "unreachable"
    """No connection could be opened: nothing was sent."""
    BAD_RESPONSE = "bad_response"
    UNFETCHED = "unfetched"
    """A document that the caller gave by URL could not be had: nothing was sent."""
    INVALID_OUTPUT = "invalid_output"
    """The answer came and is billed, but it is not of the schema that was asked for."""
    INTERRUPTED = "interrupted"
    """The worker stopped or was told to stop; says nothing about the provider."""
    INTERNAL = "internal"
    """Our own fault: a bug in an adapter, never blamed on the provider."""


class Blame(StrEnum):
    """What the end of a call says about its provider."""

    ANSWERED = "ok"
    """It works, whether the caller liked the answer or not."""
    FAILED = "failed"
    NOTHING = "nothing"


class Verdict(StrEnum):
    """What becomes of the job."""

    WAIT = "wait"
    """Back to the queue; spends no try; the deployment's meter is blocked for a while."""
    RETRY = "retry"
    """Spends a try; comes back after a jittered back-off."""
    NEXT = "next"
    """Spends a try; another deployment at once, or after a back-off when all have been tried."""
    FALLBACK = "fallback"
    """Spends a try; a deployment that the job's policy names for such a failure, at once."""
    STOP = "stop"
    """Final: the same request would be refused again."""


VERDICTS: Final[dict[FailureKind, Verdict]] = {
    FailureKind.RATE_LIMITED: Verdict.WAIT,
    FailureKind.SLOW_DOWN: Verdict.WAIT,
    FailureKind.QUOTA: Verdict.NEXT,
    FailureKind.AUTH: Verdict.NEXT,
    FailureKind.NOT_FOUND: Verdict.NEXT,
    FailureKind.CONTEXT_LENGTH: Verdict.STOP,
    FailureKind.TOO_LARGE: Verdict.STOP,
    FailureKind.CONTENT_FILTERED: Verdict.STOP,
    FailureKind.OVERLOADED: Verdict.NEXT,
    FailureKind.SERVER: Verdict.NEXT,
    FailureKind.BAD_REQUEST: Verdict.STOP,
    FailureKind.TIMEOUT: Verdict.NEXT,
    FailureKind.CONNECTION: Verdict.NEXT,
    FailureKind.UNREACHABLE: Verdict.NEXT,
    FailureKind.BAD_RESPONSE: Verdict.RETRY,
    FailureKind.UNFETCHED: Verdict.RETRY,
    FailureKind.INVALID_OUTPUT: Verdict.RETRY,
    FailureKind.INTERRUPTED: Verdict.WAIT,
    FailureKind.INTERNAL: Verdict.STOP,
}

ATTEMPT_ENDS: Final[dict[FailureKind, AttemptState]] = {
    FailureKind.RATE_LIMITED: AttemptState.REFUSED,
    FailureKind.SLOW_DOWN: AttemptState.REFUSED,
    FailureKind.QUOTA: AttemptState.REFUSED,
    FailureKind.AUTH: AttemptState.REFUSED,
    FailureKind.NOT_FOUND: AttemptState.REFUSED,
    FailureKind.CONTEXT_LENGTH: AttemptState.REFUSED,
    FailureKind.TOO_LARGE: AttemptState.REFUSED,
    FailureKind.CONTENT_FILTERED: AttemptState.REFUSED,
    FailureKind.OVERLOADED: AttemptState.FAILED,
    FailureKind.SERVER: AttemptState.FAILED,
    FailureKind.BAD_REQUEST: AttemptState.REFUSED,
    FailureKind.UNREACHABLE: AttemptState.FAILED,
    # From here on the provider may have done and billed the work.
    FailureKind.TIMEOUT: AttemptState.UNKNOWN,
    FailureKind.CONNECTION: AttemptState.UNKNOWN,
    FailureKind.BAD_RESPONSE: AttemptState.UNKNOWN,
    FailureKind.UNFETCHED: AttemptState.FAILED,
    FailureKind.INVALID_OUTPUT: AttemptState.FAILED,
    FailureKind.INTERRUPTED: AttemptState.UNKNOWN,
    FailureKind.INTERNAL: AttemptState.UNKNOWN,
}
"""How the attempt closes: without a bill, or charged at its hold."""

BLAME: Final[dict[FailureKind, Blame]] = {
    FailureKind.RATE_LIMITED: Blame.ANSWERED,
    FailureKind.SLOW_DOWN: Blame.ANSWERED,
    FailureKind.QUOTA: Blame.ANSWERED,
    FailureKind.AUTH: Blame.ANSWERED,
    FailureKind.NOT_FOUND: Blame.ANSWERED,
    FailureKind.CONTEXT_LENGTH: Blame.ANSWERED,
    FailureKind.TOO_LARGE: Blame.ANSWERED,
    FailureKind.CONTENT_FILTERED: Blame.ANSWERED,
    FailureKind.BAD_REQUEST: Blame.ANSWERED,
    FailureKind.INVALID_OUTPUT: Blame.ANSWERED,
    FailureKind.OVERLOADED: Blame.FAILED,
    FailureKind.SERVER: Blame.FAILED,
    FailureKind.TIMEOUT: Blame.FAILED,
    FailureKind.CONNECTION: Blame.FAILED,
    FailureKind.UNREACHABLE: Blame.FAILED,
    FailureKind.BAD_RESPONSE: Blame.FAILED,
    FailureKind.UNFETCHED: Blame.NOTHING,
    FailureKind.INTERRUPTED: Blame.NOTHING,
    FailureKind.INTERNAL: Blame.NOTHING,
}
"""What a deployment's breaker counts."""

CORRECTION_TOKENS: Final[dict[str, int]] = {FailureKind.INVALID_OUTPUT: 640}
"""The most that the try after such a failure says beside its request."""

NEVER_ARRIVED: Final = frozenset({FailureKind.UNREACHABLE, FailureKind.UNFETCHED})
"""The provider saw nothing of such a call: its permit comes back."""
