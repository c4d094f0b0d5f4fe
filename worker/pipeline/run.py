"""The story of one attempt: send it, hear the answer, decide, record."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

import structlog
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from shared.catalog.deployments import Catalog, Deployment
from shared.db.start import StartedAttempt
from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, GenerationRequest
from shared.domain.job import JobState
from shared.meters.meter import Meter
from shared.security.egress import Egress
from shared.settings import WorkerSettings
from worker.adapters.base import Answer, CallError
from worker.adapters.registry import Adapters
from worker.failpoint import Failpoints
from worker.pipeline.announce import Announcer
from worker.pipeline.documents import with_bytes
from worker.pipeline.finish import Finisher
from worker.pipeline.flights import STATE_AFTER, Flight, StopReason
from worker.pipeline.heartbeat import Heartbeat
from worker.pipeline.output import check_output, corrected
from worker.pipeline.telling import Teller
from worker.pipeline.verdict import (
    TOLD_INSTEAD,
    Decision,
    failed,
    interrupted,
    price_called,
    succeeded,
    unsent,
)

log = structlog.get_logger(__name__)

REQUEST = TypeAdapter(GenerationRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """All that the story needs."""

    catalog: Catalog
    adapters: Adapters
    heartbeat: Heartbeat
    finisher: Finisher
    meter: Meter
    egress: Egress
    announcer: Announcer
    teller: Teller
    clock: Clock
    settings: WorkerSettings
    failpoints: Failpoints
    switch_off: Callable[[str, str], Awaitable[None]]
    """A provider's id and why nobody shall call it any more."""


async def run(flight: Flight, steps: Steps) -> None:
    """Call the provider once and record what came of it.

    Broken off by `flight.stop(reason)`, it records that instead.
    """
    attempt, began = flight.attempt, monotonic()
    try:
        decision = await _decide(flight, steps, began)
    except asyncio.CancelledError:
        reason = flight.stopping or StopReason.DRAINED
        decision = interrupted(attempt, to=STATE_AFTER[reason], reason=reason, sent=flight.sent)
    flight.decided = True
    if decision.block_seconds:
        await _rest(attempt.deployment, decision.block_seconds, steps.meter)
    if decision.used_up:
        await steps.switch_off(steps.catalog.find(attempt.deployment).provider.id, decision.used_up)
    seconds = monotonic() - began
    try:
        if moved_to := await steps.finisher.finish(decision.leaving):
            steps.announcer.ended(decision.leaving, moved_to, seconds)
    finally:
        steps.teller.end(attempt.attempt_id)


async def _decide(flight: Flight, steps: Steps, began: float) -> Decision:
    """Send the request and turn its end into a decision."""
    attempt = flight.attempt
    if stopped := flight.stopping:
        return interrupted(attempt, to=STATE_AFTER[stopped], reason=stopped, sent=False)
    if not steps.heartbeat.sure:
        reason = "the worker lost its lease before it sent the request"
        return interrupted(attempt, to=JobState.QUEUED, reason=reason, sent=False)
    try:
        answer = await _call(flight, steps)
    except CallError as error:
        return _failed(attempt, error, steps, _milliseconds(began))
    except Exception as error:
        log.exception("adapter_broke", attempt_id=attempt.attempt_id)
        # Without its words: they may quote the request.
        broken = CallError(
            FailureKind.INTERNAL, f"the worker itself failed ({type(error).__name__})"
        )
        return (
            failed(attempt, broken, _milliseconds(began))
            if flight.sent
            else unsent(attempt, broken)
        )
    deployment = steps.catalog.find(attempt.deployment)
    return succeeded(attempt, deployment, answer, _milliseconds(began), steps.clock)


def _failed(attempt: StartedAttempt, error: CallError, steps: Steps, latency_ms: int) -> Decision:
    """What follows a call that gave no usable answer."""
    if error.kind in TOLD_INSTEAD:
        log.warning("credential_refused", deployment=attempt.deployment, detail=error.message)
    deployment = steps.catalog.find(attempt.deployment)
    price = price_called(deployment, error.usage, steps.clock, latency_ms)
    return failed(attempt, error, latency_ms, price)


async def _call(flight: Flight, steps: Steps) -> Answer:
    """One request under the total deadline of the call and of its job."""
    attempt, began = flight.attempt, monotonic()
    deployment = steps.catalog.find(attempt.deployment)
    adapter = steps.adapters.ready.get(deployment.provider.id)
    if adapter is None:
        reason = steps.adapters.missing[deployment.provider.id]
        raise CallError(FailureKind.UNREACHABLE, reason)
    patience = min(steps.settings.call_timeout, attempt.seconds_left)
    request = await _request(attempt, deployment, steps, max(patience, 0.1))
    timeout = max(patience - (monotonic() - began), 0.1)
    told = steps.teller.open(attempt, timeout) if request.stream else None
    steps.failpoints.passing("before_send")
    flight.sent = True
    try:
        async with asyncio.timeout(timeout):
            answer = await adapter.complete(
                request,
                model=deployment.upstream,
                attempt_id=attempt.attempt_id,
                timeout=timeout,
                told=told,
            )
    except TimeoutError:
        message = f"no answer within {timeout:.0f} seconds"
        raise CallError(FailureKind.TIMEOUT, message) from None
    steps.failpoints.passing("after_answer")
    if told and not steps.teller.said(attempt.attempt_id):
        told(Delta(text=answer.result.content))
    check_output(request, answer)
    return answer


async def _request(
    attempt: StartedAttempt, deployment: Deployment, steps: Steps, seconds: float
) -> GenerationRequest:
    """What is sent: the stored request, told of a failed output, with the bytes that it needs."""
    request = REQUEST.validate_python(attempt.request)
    if attempt.last_failure == FailureKind.INVALID_OUTPUT:
        request = corrected(request, attempt.last_error or "it was not valid")
    return await with_bytes(request, deployment.provider.adapter, steps.egress, seconds)


async def _rest(deployment: str, seconds: float, meter: Meter) -> None:
    """Keep everybody away from a deployment for a while; best effort."""
    try:
        await meter.block(deployment, seconds)
    except (RedisError, OSError) as error:
        log.warning("deployment_not_rested", deployment=deployment, error=type(error).__name__)


def _milliseconds(began: float) -> int:
    return round((monotonic() - began) * 1000)
