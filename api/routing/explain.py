"""What would become of a job, over HTTP: no provider is called, nothing is stored."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request
from redis.exceptions import RedisError

from api.bodies import body_of
from api.deps import AnyParts, Writer
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import JOB_EXAMPLE, Cost, JobSubmit
from api.routing.plans import planner_on
from api.routing.schemas import (
    CandidateRead,
    JudgementRead,
    PlanRead,
    RefusedRead,
    StandingRead,
)
from shared.catalog.deployments import Deployment
from shared.db.reach import Reach, read_reach
from shared.db.vitals import read_habits, read_vitals
from shared.db.workers import capacity
from shared.meters.breaker import BreakerState
from shared.meters.meter import Grant, MemoryLostError, Meter, Want
from shared.routing.costs import Habits, expected_costs, most_cost
from shared.routing.plan import Candidate, Plan
from shared.routing.stored import Strategy
from shared.routing.strategies import Vitals, arranged

router = APIRouter(prefix="/api/v1/explain", tags=["jobs"])
SHOWN_LIMITS: Final = ("requests", "tokens", "concurrency")


@dataclass(frozen=True, slots=True)
class Room:
    """What Redis knows of one deployment."""

    breaker: BreakerState
    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How everyone stands now."""

    at: datetime
    reach: Reach
    vitals: Vitals
    habits: Habits
    rooms: Mapping[str, Room]

    def standing(self, each: Deployment) -> StandingRead:
        """Of one deployment."""
        provider, latency = each.provider, self.vitals.latency_ms.get(each.id)
        off, ready = self.reach.off.get(provider.id), self.reach.ready(provider)
        why_not = f"disabled by {off}" if off else None
        if ready is False:
            why_not = why_not or self.reach.why_not_ready(provider)
        room = self.rooms.get(each.id)
        waits_for = room.grant.binding if room else ""
        return StandingRead(
            callable=False if off else ready,
            why_not=why_not,
            breaker=room.breaker if room else None,
            room=not waits_for if room else None,
            waits_for=waits_for or None,
            wait_seconds=room.grant.wait if room and waits_for else None,
            in_flight=self.vitals.in_flight.get(each.id, 0),
            median_ms=None if latency is None else round(latency),
            limits={
                **{name: getattr(each.limits, name) for name in SHOWN_LIMITS},
                "window_seconds": each.limits.window,
            },
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """A plan at that moment."""

    plan: Plan
    moment: Moment

    def candidate(self, each: Candidate) -> CandidateRead:
        """One of its candidates, with its cost and standing."""
        cost, deployment = self.cost(each), each.deployment
        return CandidateRead(
            deployment=deployment.id,
            provider=deployment.provider.id,
            model=deployment.model.id,
            reasons=list(each.reasons),
            weight=each.weight if self.plan.policy.strategy is Strategy.WEIGHTED else None,
            input_tokens=each.fitted.input_tokens,
            worst_case=None if cost is None else Cost.of(cost),
            standing=self.moment.standing(deployment),
        )

    def cost(self, each: Candidate) -> int | None:
        """The most that one call can cost there, nano-USD; None where nobody knows the price."""
        fitted = self.plan.fitted
        return most_cost(
            each.deployment,
            input_tokens=each.fitted.input_tokens,
            max_tokens=fitted.max_tokens,
            searching=fitted.request.web_search,
            at=self.moment.at,
        )

    def expected(self) -> dict[str, int]:
        """What one call costs at each candidate if it goes as the newest did, nano-USD."""
        fitted = self.plan.fitted
        return expected_costs(
            [each.deployment for each in self.plan.candidates],
            self.moment.habits,
            input_tokens={
                each.deployment.id: each.fitted.input_tokens for each in self.plan.candidates
            },
            max_tokens=fitted.max_tokens,
            searching=fitted.request.web_search,
            at=self.moment.at,
        )

    def in_order(self) -> list[Candidate]:
        """The candidates as they would be asked now; for shares of jobs, the heaviest first."""
        strategy = self.plan.policy.strategy or Strategy.ORDERED
        if strategy is Strategy.WEIGHTED:
            return sorted(self.plan.candidates, key=lambda each: -each.weight)
        known = {each.deployment.id: each for each in self.plan.candidates}
        deployments = [each.deployment for each in self.plan.candidates]
        order = arranged(strategy, deployments, self.moment.vitals, "", {}, self.expected())
        return [known[each.id] for each in order]


@router.post(
    "",
    operation_id="explain_plan",
    summary="Who would be asked, and why",
    responses=error_responses(400, 413),
    openapi_extra=body_of(JobSubmit, example=JOB_EXAMPLE),
)
async def explain_plan(request: Request, parts: AnyParts, caller: Writer) -> PlanRead:
    """The plan of a job: candidates with reasons, standing and cost; who is refused, and why."""
    asked = parse_as(JobSubmit, parse_json(await request.body()))
    async with parts.database.transaction() as connection:
        reach, vitals = await read_reach(connection), await read_vitals(connection)
        fleet, habits = await capacity(connection), await read_habits(connection)
        book = await parts.budgets.of_now(connection)
    planner = planner_on(parts, caller, reach, book)
    # To count the tokens of a long request would hold up everybody else.
    plan = await asyncio.to_thread(planner.plan_anyway, asked)
    rooms = await _rooms(parts.meter, plan, fleet)
    moment = Moment(at=planner.ground.at, reach=reach, vitals=vitals, habits=habits, rooms=rooms)
    return _read(Explained(plan, moment), rehearse=asked.rehearse)


async def _rooms(meter: Meter, plan: Plan, fleet: Mapping[str, int]) -> dict[str, Room]:
    """None of them while Redis is away or empty: the plan is worth telling without."""
    everybody = {each.deployment.id: each for each in plan.everybody}
    try:
        breakers = await meter.breaker.states(list(everybody))
        return {
            name: Room(breakers[name].state, await _look(meter, each, fleet))
            for name, each in everybody.items()
        }
    except (RedisError, OSError, MemoryLostError):
        return {}


async def _look(meter: Meter, each: Candidate, fleet: Mapping[str, int]) -> Grant:
    """What its meter would say to the call."""
    deployment = each.deployment
    want = Want("explain", each.fitted.input_tokens, each.fitted.max_tokens)
    return await meter.look(deployment, deployment.queue, fleet.get(deployment.queue, 0), want)


def _read(explained: Explained, *, rehearse: bool) -> PlanRead:
    plan = explained.plan
    candidates = [explained.candidate(each) for each in explained.in_order()]
    first = next((each.deployment for each in candidates if _goes(each.standing)), None)
    return PlanRead(
        model=plan.fitted.model.id,
        next=first,
        rehearse=rehearse,
        strategy=plan.policy.strategy or Strategy.ORDERED,
        policy=plan.policy.model_dump(mode="json", exclude_unset=True),
        input_tokens=plan.fitted.input_tokens,
        max_tokens=plan.fitted.max_tokens,
        web_search=plan.fitted.request.web_search,
        complexity=JudgementRead.of(plan.judged) if plan.judged else None,
        candidates=candidates,
        fallbacks={
            kind: [explained.candidate(each) for each in listed]
            for kind, listed in plan.fallbacks.items()
        },
        downgrades=[explained.candidate(each) for each in plan.downgrades],
        refused=[RefusedRead(name=each.name, reason=each.reason) for each in plan.refused],
    )


def _goes(standing: StandingRead) -> bool:
    return standing.callable is True and standing.breaker is not BreakerState.OPEN
