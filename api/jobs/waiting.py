"""What a waiting job waits for: what binds, what goes before it, and when its turn will come."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from api.admission.budgets import Short, told
from api.deps import Parts
from api.jobs.payable import BudgetWait, payable
from api.jobs.schemas import Moment
from shared.broker.messages import ISOLATED_QUEUE
from shared.catalog.deployments import Deployment
from shared.db import caps, explain, workers
from shared.db.reach import Reach, read_reach
from shared.domain.clock import SystemClock
from shared.domain.job import JobState, WaitReason
from shared.meters.meter import Grant, MemoryLostError, Want
from shared.routing.able import Nobody, able

Reason = Literal[
    "not_before", "backoff", "provider", "budget",
    "no_deployment", "no_worker", "worker", "max_running", "workers", "concurrency", "rest",
    "breaker", "rate", "turn", "no_meter",
]  # fmt: skip
OF_BINDING: Final[dict[str, Reason]] = {
    "blocked": "rest",
    "breaker": "breaker",
    "concurrency": "concurrency",
    "workers": "workers",
    "": "turn",
}
"""What the meter says; any other word is the name of a limit that is used up."""
PACE_SECONDS: Final = 60.0


class Eta(BaseModel):
    """When its turn will come, as things stand now."""

    seconds: float
    at: Moment
    basis: str
    """What this was reckoned from."""


class Waiting(BaseModel):
    """What a waiting job waits for, as it stands now."""

    reason: Reason
    """`budget`: it has no room; `rate`: the quota of `limit` is used up; `rest`: the provider asked
    for a pause; `breaker`: it failed too often; `workers`: they are full; `worker`: it is released,
    one takes it; `turn`: others go first, or the next turn takes it; `no_meter`: Redis is away,
    nothing is released."""
    detail: str | None = None
    limit: str | None = None
    """The limit that is used up: requests, tokens, requests_per_day and so on."""
    until: Moment | None = None
    """When that ends, so far as this limit goes."""
    budget: BudgetWait | None = None
    deployment: str | None = None
    candidates: list[str] | None = None
    """Who else may take it, in order."""
    ahead: int | None = None
    """The caller's own jobs that go first; counted to 10000."""
    other_tenants: int | None = None
    """Tenants that share the route in its lane or a more urgent one; turns are shared fairly."""
    in_flight: int | None = None
    capacity: int | None = None
    limits: dict[str, float] | None = None
    """The deployment's quota in a window of `window_seconds`; what has no limit is left out."""
    eta: Eta | None = None


async def waiting_of(
    connection: AsyncConnection, parts: Parts, tenant_id: str, row: Any
) -> Waiting | None:
    """Of a job's row; None for a job that runs or has ended."""
    if row.state == JobState.SCHEDULED:
        return Waiting(reason=WaitReason(row.wait_reason).value, until=row.run_at, detail=row.error)
    place = await explain.read_place(connection, tenant_id, row.id)
    if row.state != JobState.QUEUED or place is None:
        return None
    return await _queued(connection, parts, place)


async def _queued(connection: AsyncConnection, parts: Parts, place: explain.Place) -> Waiting:
    if full := await _full(connection, place):
        return Waiting(reason="max_running", detail=full)
    reach = await read_reach(connection)
    everybody = _named(parts, place)
    chosen = able(
        place,
        _open(reach, everybody),
        known=parts.catalog.known,
        open_of=lambda plan: _open(reach, plan),
    )
    if isinstance(chosen, Nobody):
        return Waiting(reason="no_deployment", detail=chosen.reason)
    if not chosen and (shut := reach.why_closed(everybody)):
        return Waiting(reason="no_deployment", detail=shut)
    going = chosen if place.released else await payable(connection, parts, place, reach, chosen)
    if isinstance(going, Short):
        return await _over_budget(connection, going)
    return await _in_line(connection, parts, place, going or everybody)


async def _over_budget(connection: AsyncConnection, short: Short) -> Waiting:
    until = await explain.ends_at(connection, short.window.id)
    return Waiting(
        reason="budget",
        detail=told(short, until),
        until=until,
        budget=BudgetWait.of(short),
    )


async def _full(connection: AsyncConnection, place: explain.Place) -> str | None:
    """Whose cap of calls in flight is reached; None: it is held back by none."""
    if place.released:
        return None
    reached = await caps.reached(connection, place.tenant_id, place.key_id)
    if reached is None:
        return None
    id_, most = reached
    whose = "your tenant" if id_ == place.tenant_id else "the key that it came by"
    return f"{whose} has {most} calls in flight, and may not have more"


def _named(parts: Parts, place: explain.Place) -> tuple[Deployment, ...]:
    """Whoever may ever take it, open or not."""
    if place.policy is None:
        plan = parts.catalog.plan(place.route)
        return tuple(each for each in plan if each.id not in place.unfit)
    return tuple(filter(None, map(parts.catalog.known, place.policy.deployments())))


def _open(reach: Reach, plan: Sequence[Deployment]) -> tuple[Deployment, ...]:
    return tuple(each for each in plan if reach.open(each.provider))


async def _in_line(
    connection: AsyncConnection,
    parts: Parts,
    place: explain.Place,
    chosen: Sequence[Deployment],
) -> Waiting:
    """Of a job that one of these will take when it can."""
    deployment, *others = chosen
    queue = ISOLATED_QUEUE if place.isolated else deployment.queue
    capacity = (await workers.capacity(connection)).get(queue, 0)
    before = await explain.queue_before(connection, place)
    waiting = Waiting(
        reason="worker" if place.released else "no_worker",
        deployment=deployment.id,
        candidates=[each.id for each in others],
        ahead=before.ahead,
        other_tenants=before.other_tenants,
        in_flight=await explain.in_flight(connection, [deployment.id]),
        capacity=capacity,
        limits=_limits(deployment),
    )
    if place.released or not capacity:
        return waiting
    try:
        want = Want(place.job_id, place.input_at(deployment.id), place.max_tokens)
        told = await parts.meter.look(deployment, queue, capacity, want)
    except (RedisError, MemoryLostError, OSError):
        waiting.reason = "no_meter"
        waiting.detail = "Redis is away: nothing is released until it answers, and no try is spent"
        return waiting
    return await _timed(connection, place, chosen, waiting, told)


async def _timed(
    connection: AsyncConnection,
    place: explain.Place,
    chosen: Sequence[Deployment],
    waiting: Waiting,
    told: Grant,
) -> Waiting:
    """What binds, by the meter's word, and when its turn will come."""
    now = SystemClock().now()
    waiting.reason = OF_BINDING.get(told.binding, "rate")
    waiting.limit = told.binding if waiting.reason == "rate" else None
    waiting.until = now + timedelta(seconds=told.wait) if told.wait else None
    sent = await explain.pace(connection, [each.id for each in chosen], now, PACE_SECONDS)
    turns = (waiting.ahead or 0) * (1 + (waiting.other_tenants or 0))
    a_minute, whose = float(sent), f"{sent} calls went there in the last minute"
    if not sent:
        a_minute = sum(_quota(each, place) for each in chosen)
        whose = f"their limits allow {a_minute:.3g} such calls a minute"
    if not a_minute and turns:
        return waiting
    seconds = told.wait + (turns * 60 / a_minute if turns else 0.0)
    basis = f"about {turns} jobs go first; {whose}" if turns else "nothing of yours goes first"
    waiting.eta = Eta(seconds=round(seconds, 3), at=now + timedelta(seconds=seconds), basis=basis)
    return waiting


def _quota(deployment: Deployment, place: explain.Place) -> float:
    """Calls like this one that the deployment's window allows in a minute; 0: it has no limit."""
    limits = deployment.limits
    tokens = max(place.input_at(deployment.id) + place.max_tokens, 1)
    allowed = (limits.requests, limits.tokens / tokens)
    return min((each for each in allowed if each), default=0.0) * 60 / limits.window


def _limits(deployment: Deployment) -> dict[str, float]:
    limits = deployment.limits
    names = (
        "requests", "tokens", "input_tokens", "output_tokens", "requests_per_second",
        "requests_per_day", "concurrency",
    )  # fmt: skip
    granted = {name: getattr(limits, name) for name in names}
    return {
        **{name: each for name, each in granted.items() if each},
        "window_seconds": limits.window,
    }
