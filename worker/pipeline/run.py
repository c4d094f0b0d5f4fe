"""The story of one attempt: send it, hear the answer, decide, record."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from shared.catalog.deployments import Catalog, Deployment
from shared.catalog.wires import as_taken, searching
from shared.db.start import StartedAttempt
from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest, deltas_of
from shared.domain.job import JobState
from shared.meters.meter import Meter, Want
from shared.settings import WorkerSettings
from worker.adapters.base import Answer, CallError
from worker.adapters.registry import Adapters
from worker.failpoint import Failpoints
from worker.pipeline.announce import Announcer
from worker.pipeline.documents import Documents
from worker.pipeline.finish import Finisher
from worker.pipeline.flights import STATE_AFTER, Flight, StopReason
from worker.pipeline.heartbeat import Heartbeat
from worker.pipeline.output import check_output, corrected
from worker.pipeline.slots import Heard, Slots
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
LEAST_PATIENCE: Final = 0.1
"""Seconds: a deadline that is over by now fails as any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """All that the story needs."""

    catalog: Catalog
    adapters: Adapters
    heartbeat: Heartbeat
    finisher: Finisher
    meter: Meter
    slots: Slots
    documents: Documents
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
    # Before anything can go wrong: who watches is told of every attempt how it ended.
    if attempt.request.get("stream"):
        steps.teller.open(attempt, _patience(attempt, steps))
    try:
        await _record(flight, steps, await _decided(flight, steps, began), monotonic() - began)
    finally:
        steps.teller.end(attempt.attempt_id)
        steps.slots.forget(attempt.attempt_id)


async def _decided(flight: Flight, steps: Steps, began: float) -> Decision:
    """What becomes of the attempt, also where it is broken off; from here on it stands."""
    try:
        decision = await _decide(flight, steps, began)
    except asyncio.CancelledError:
        reason = flight.stopping or StopReason.DRAINED
        decision = interrupted(
            flight.attempt, to=STATE_AFTER[reason], reason=reason, sent=flight.sent
        )
    flight.decided = True
    return decision


async def _record(flight: Flight, steps: Steps, decision: Decision, seconds: float) -> None:
    """Let the meters, the database and whoever looks know; the call took so long."""
    attempt = flight.attempt
    await _rest(attempt.deployment, decision, steps.meter)
    if decision.used_up:
        await steps.switch_off(steps.catalog.find(attempt.deployment).provider.id, decision.used_up)
    steps.slots.ended(
        attempt.attempt_id,
        steps.catalog.known(attempt.deployment),
        flight.heard,
        sent=flight.sent,
        failure=decision.leaving.failure_kind,
    )
    if moved_to := await steps.finisher.finish(decision.leaving):
        steps.announcer.ended(decision.leaving, moved_to, seconds)


async def _decide(flight: Flight, steps: Steps, began: float) -> Decision:
    """Send the request and turn its end into a decision."""
    attempt = flight.attempt
    if not_sent := _not_sent(flight, steps):
        return not_sent
    try:
        answer = await _call(flight, steps)
    except CallError as error:
        flight.heard = Heard(error.usage or flight.heard.usage, error.rate or flight.heard.rate)
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


def _not_sent(flight: Flight, steps: Steps) -> Decision | None:
    """What becomes of an attempt that must not be sent; None: it may be."""
    attempt = flight.attempt
    if stopped := flight.stopping:
        return interrupted(attempt, to=STATE_AFTER[stopped], reason=stopped, sent=False)
    if not steps.heartbeat.sure:
        reason = "the worker lost its lease before it sent the request"
    elif steps.catalog.known(attempt.deployment) is None:
        reason = f"the catalog has {attempt.deployment} no more"
    else:
        return None
    return interrupted(attempt, to=JobState.QUEUED, reason=reason, sent=False)


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
        gone = f"the catalog has provider {deployment.provider.id} no more"
        reason = steps.adapters.missing.get(deployment.provider.id, gone)
        raise CallError(FailureKind.UNREACHABLE, reason)
    patience = _patience(attempt, steps)
    told = steps.teller.ear(attempt.attempt_id)
    asked = _request(attempt, deployment)
    async with steps.documents.sent(asked, deployment.provider, patience) as request:
        held_up = await _in_time(flight, deployment, steps.meter)
        patience = min(patience + held_up, attempt.seconds_left)
        timeout = max(patience - (monotonic() - began), LEAST_PATIENCE)
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
    flight.heard = Heard(answer.result.usage, answer.rate)
    if told and not steps.teller.said(attempt.attempt_id):
        for delta in deltas_of(answer.result):
            told(delta)
    check_output(request, answer)
    return answer


async def _in_time(flight: Flight, deployment: Deployment, meter: Meter) -> float:
    """Wait until a call whose permit has grown old has its place in the quota again; seconds."""
    attempt, began = flight.attempt, monotonic()
    input_tokens = attempt.permit_tokens - attempt.max_tokens
    want = Want(attempt.attempt_id, input_tokens, attempt.max_tokens)
    try:
        wait = await meter.recount(deployment, want, flight.age)
        while wait:
            await asyncio.sleep(wait)
            wait = await meter.recount(deployment, want, flight.age)
    except (RedisError, OSError) as error:
        log.debug("permit_not_recounted", error=type(error).__name__)
    return monotonic() - began


def _patience(attempt: StartedAttempt, steps: Steps) -> float:
    """Seconds for the whole attempt."""
    return max(min(steps.settings.call_timeout, attempt.seconds_left), LEAST_PATIENCE)


def _request(attempt: StartedAttempt, deployment: Deployment) -> GenerationRequest:
    """What is asked: the stored request, told of a failed output.

    Raises CallError for a deployment that has no place for all of it: it may be newer in the
    catalog than the job, or changed since. A stand-in may lack what its provider has.
    """
    request = searching(REQUEST.validate_python(attempt.request), deployment)
    if not deployment.provider.rehearsal:
        request, lacking = as_taken(request, deployment.provider)
        if lacking:
            message = f"{deployment.id} has no place for {', '.join(sorted(lacking))}"
            raise CallError(FailureKind.UNREACHABLE, message)
    if attempt.last_failure == FailureKind.INVALID_OUTPUT:
        request = corrected(request, attempt.last_error or "it was not valid")
    return request


async def _rest(deployment: str, decision: Decision, meter: Meter) -> None:
    """Keep everybody away from a deployment for a while, or slow down; best effort."""
    try:
        if decision.block_seconds:
            pause, longest = decision.block_seconds, decision.block_longest
            await meter.block(deployment, pause, longest=longest)
        if decision.leaving.failure_kind is FailureKind.SLOW_DOWN:
            await meter.slow_down(deployment)
    except (RedisError, OSError) as error:
        log.warning("deployment_not_rested", deployment=deployment, error=type(error).__name__)


def _milliseconds(began: float) -> int:
    return round((monotonic() - began) * 1000)
