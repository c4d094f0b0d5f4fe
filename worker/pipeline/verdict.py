"""Decide what follows a call: the verdict table applied to one attempt."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
import structlog

from shared.catalog.deployments import Deployment
from shared.catalog.pricing import Price, price_of
from shared.db.leave import Leaving
from shared.db.start import StartedAttempt
from shared.domain.attempt import AttemptState, Further
from shared.domain.clock import Clock
from shared.domain.errors import ConfigurationError
from shared.domain.failure import ATTEMPT_ENDS, VERDICTS, FailureKind, Verdict
from shared.domain.generation import Usage
from shared.domain.job import JobState, WaitReason
from shared.routing.stored import StoredPolicy
from worker.adapters.base import Answer, CallError

log = structlog.get_logger(__name__)

BACKOFF_FIRST: Final = 1.0
BACKOFF_CAP: Final = 100.0
PAUSE_OF_KIND: Final = {
    FailureKind.RATE_LIMITED: 1.0,
    FailureKind.SLOW_DOWN: 5.0,
    FailureKind.OVERLOADED: 1.0,
    # Until everybody has heard that the provider is switched off.
    FailureKind.QUOTA: 5.0,
    # Nothing but a person mends these; the jobs wait, the provider is left alone meanwhile.
    FailureKind.AUTH: 30.0,
    FailureKind.NOT_FOUND: 10.0,
}
"""Seconds for which nobody calls the deployment, where the provider names no time."""
LONGEST_PAUSE: Final = {FailureKind.RATE_LIMITED: 60.0, FailureKind.OVERLOADED: 60.0}
"""Where a provider names no time, refusals in a row double the pause up to there."""
TOLD_INSTEAD: Final = {
    FailureKind.QUOTA: "the quota or credit of this installation is used up",
    FailureKind.AUTH: "the provider refuses the credential of this installation",
}
"""The provider's own words may hold parts of a key or an account: they go to the log alone."""
SPENDING: Final = frozenset({Verdict.RETRY, Verdict.NEXT, Verdict.FALLBACK})
ELSEWHERE: Final = frozenset({Verdict.NEXT, Verdict.FALLBACK})
AFTER: Final = {
    Verdict.WAIT: JobState.QUEUED,
    Verdict.RETRY: JobState.SCHEDULED,
    Verdict.FALLBACK: JobState.QUEUED,
    Verdict.STOP: JobState.FAILED,
}
AFTER_NEXT: Final = {
    Further.NOW: JobState.QUEUED,
    Further.LATER: JobState.SCHEDULED,
    Further.NONE: JobState.FAILED,
}
THE_SECOND_TIME: Final = {FailureKind.INVALID_OUTPUT: Verdict.NEXT}
"""What follows instead when the try before failed in the same way."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How the job leaves `running`, and for how long its deployment rests."""

    leaving: Leaving
    block_seconds: float = 0.0
    block_longest: float = 0.0
    """The most that refusals in a row may double it to; 0: it stays as it is."""
    used_up: str | None = None
    """Why the provider is to be switched off, until a person mends that."""


def succeeded(
    attempt: StartedAttempt, deployment: Deployment, answer: Answer, latency_ms: int, clock: Clock
) -> Decision:
    """The answer stands: result, usage and exact cost."""
    usage = answer.result.usage
    price = price_called(deployment, usage, clock, latency_ms)
    return Decision(
        Leaving(
            attempt_id=attempt.attempt_id,
            job_id=attempt.job_id,
            epoch=attempt.epoch,
            attempt_state=AttemptState.ANSWERED,
            job_state=JobState.SUCCEEDED,
            cost_nano=price.cost_nano if price else None,
            usage=_json(usage),
            price=_json(price.source) if price else None,
            result=_json(answer.result),
            provider_request_id=answer.provider_request_id,
            latency_ms=latency_ms,
        )
    )


def failed(
    attempt: StartedAttempt, error: CallError, latency_ms: int, price: Price | None = None
) -> Decision:
    """No usable answer: wait, try again, or stop, by the table.

    `price`: of what was billed all the same, where the provider said so.
    """
    verdict = _verdict(attempt, error.kind)
    spends_try = verdict in SPENDING
    job_state = _next_state(verdict, attempt)
    attempt_state = _end_of(error, price)
    unbilled = None if attempt_state is AttemptState.UNKNOWN else 0
    leaving = Leaving(
        attempt_id=attempt.attempt_id,
        job_id=attempt.job_id,
        epoch=attempt.epoch,
        attempt_state=attempt_state,
        job_state=job_state,
        cost_nano=price.cost_nano if price else unbilled,
        usage=_json(error.usage),
        price=_json(price.source) if price else None,
        spends_try=spends_try,
        tried=attempt.deployment if verdict in ELSEWHERE else None,
        delay_seconds=_delay(attempt, error, verdict),
        wait_reason=WaitReason.BACKOFF if job_state is JobState.SCHEDULED else None,
        failure_kind=error.kind,
        error=told_of(error),
        provider_request_id=error.provider_request_id,
        latency_ms=latency_ms,
    )
    rest = error.retry_after or PAUSE_OF_KIND.get(error.kind, 0.0)
    rests = error.kind in PAUSE_OF_KIND or (verdict in ELSEWHERE and error.retry_after)
    # One that says when to come again, such as tomorrow, needs nobody.
    for_good = error.kind is FailureKind.QUOTA and error.retry_after is None
    return Decision(
        leaving,
        block_seconds=rest if rests else 0.0,
        block_longest=0.0 if error.retry_after else LONGEST_PAUSE.get(error.kind, 0.0),
        used_up=told_of(error) if for_good else None,
    )


def _verdict(attempt: StartedAttempt, kind: FailureKind) -> Verdict:
    """The table's word, unless it failed so before or its policy knows somebody else."""
    verdict = VERDICTS[kind]
    if attempt.last_failure == kind:
        verdict = THE_SECOND_TIME.get(kind, verdict)
    if verdict is Verdict.STOP and attempt.policy is not None:
        policy = StoredPolicy.from_json(attempt.policy)
        met = {*attempt.tried, attempt.deployment}
        if not met.issuperset(policy.fallback_for(kind)):
            return Verdict.FALLBACK
    return verdict


def _end_of(error: CallError, price: Price | None) -> AttemptState:
    """How the attempt closes: by its bill, at its hold where there may be one, or at nothing."""
    state = ATTEMPT_ENDS[error.kind]
    if price:
        return AttemptState.FAILED if state is AttemptState.UNKNOWN else state
    return AttemptState.UNKNOWN if error.perhaps_billed or error.usage else state


def _delay(attempt: StartedAttempt, error: CallError, verdict: Verdict) -> float:
    """Seconds until the next try.

    The wait that a provider names is its deployment's, not that of a job that goes elsewhere.
    """
    named = 0.0 if verdict in ELSEWHERE else error.retry_after or 0.0
    return max(backoff(attempt.tries), named)


def told_of(error: CallError) -> str:
    """What callers are told of a failed call."""
    return TOLD_INSTEAD.get(error.kind, error.message)


def unsent(attempt: StartedAttempt, error: CallError) -> Decision:
    """We failed before anything was sent: the job ends, and nothing is charged."""
    return _broken_off(attempt, error.kind, error.message, to=JobState.FAILED, sent=False)


def interrupted(attempt: StartedAttempt, *, to: JobState, reason: str, sent: bool) -> Decision:
    """The call was broken off by us: charged at its hold, unless nothing had been sent."""
    return _broken_off(attempt, FailureKind.INTERRUPTED, reason, to=to, sent=sent)


def _broken_off(
    attempt: StartedAttempt, kind: FailureKind, reason: str, *, to: JobState, sent: bool
) -> Decision:
    return Decision(
        Leaving(
            attempt_id=attempt.attempt_id,
            job_id=attempt.job_id,
            epoch=attempt.epoch,
            attempt_state=AttemptState.UNKNOWN if sent else AttemptState.FAILED,
            job_state=to,
            cost_nano=None if sent else 0,
            failure_kind=kind,
            error=reason,
        )
    )


def backoff(tries: int) -> float:
    """Seconds before the next try: exponential, capped, with full jitter above one half."""
    ceiling = min(BACKOFF_FIRST * 2.0**tries, BACKOFF_CAP)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


def _next_state(verdict: Verdict, attempt: StartedAttempt) -> JobState:
    """Where the job goes: one that another deployment may take at once need not back off."""
    if verdict in SPENDING and attempt.tries + 1 >= attempt.max_tries:
        return JobState.FAILED
    if verdict is Verdict.NEXT:
        return AFTER_NEXT[Further(attempt.further)]
    return AFTER[verdict]


def price_called(
    deployment: Deployment, usage: Usage | None, clock: Clock, latency_ms: int
) -> Price | None:
    """What a call cost that just ended; None where usage or price are unknown.

    It is priced as of when it was sent. No answer is lost for want of a price.
    """
    if usage is None:
        return None
    sent_at = clock.now() - timedelta(milliseconds=latency_ms)
    try:
        return price_of(deployment, usage, sent_at)
    except ConfigurationError as error:
        log.error("price_unknown", deployment=deployment.id, error=error.message)  # noqa: TRY400
        return None


def _json(value: Any) -> str | None:
    return orjson.dumps(value).decode() if value is not None else None
