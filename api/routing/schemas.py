"""The public shapes of a plan."""

from typing import Any, Literal

from pydantic import BaseModel

from api.jobs.schemas import Cost
from shared.meters.breaker import BreakerState
from shared.routing.complexity import Judgement
from shared.routing.policy import Complexity
from shared.routing.stored import Fallback, Strategy


class SignalRead(BaseModel):
    """Something that the classifier found in the request."""

    name: str
    points: int


class JudgementRead(BaseModel):
    """What the request asks of a model."""

    complexity: Complexity
    points: int
    """For the work: MODERATE from 2, COMPLEX from 5."""
    search_points: int
    """For the web: SEARCH from 2."""
    signals: list[SignalRead]
    chosen: bool
    """The policy says it; nothing was looked at."""

    @classmethod
    def of(cls, judged: Judgement) -> "JudgementRead":
        """As the classifier gave it."""
        return cls(
            complexity=judged.complexity,
            points=judged.points,
            search_points=judged.search_points,
            signals=[SignalRead(name=name, points=points) for name, points in judged.signals],
            chosen=judged.chosen,
        )


class StandingRead(BaseModel):
    """How a deployment stands now."""

    callable: bool | None
    """It is switched on and a worker is ready for it; None where no living worker has said."""
    why_not: str | None
    breaker: BreakerState | None
    """None while that is not known."""
    room: bool | None
    """Its meter would let the job go now; None while that is not known."""
    waits_for: str | None
    """Where there is none: `requests`, `tokens`, `concurrency`, `workers`, `blocked` and such."""
    wait_seconds: float | None
    """Until there may be room; 0: a slot must come free first."""
    in_flight: int
    median_ms: int | None
    """Of its newest answers."""
    limits: dict[str, float]
    """Its quota: requests, tokens and concurrency (0: none) a window of seconds."""


class CandidateRead(BaseModel):
    """Who may take the job."""

    deployment: str
    provider: str
    model: str
    reasons: list[str]
    weight: float | None
    """For the strategy `weighted`."""
    input_tokens: int
    """As this model counts them, at most."""
    worst_case: Cost | None
    """The most that one call can cost; None where nobody knows the price."""
    standing: StandingRead


class RefusedRead(BaseModel):
    """Who was considered and cannot take it, or was passed over."""

    name: str
    reason: str


class PlanRead(BaseModel):
    """What would become of a job, were it submitted now. Nothing was called or stored."""

    object: Literal["plan"] = "plan"
    model: str
    """As whose job it would be shown and queued."""
    next: str | None
    """The deployment that would be asked first now; None where none can be called."""
    rehearse: bool
    strategy: Strategy
    policy: dict[str, Any]
    """What holds after route and job have spoken."""
    input_tokens: int
    """The most that any of them counts."""
    max_tokens: int
    web_search: bool
    complexity: JudgementRead | None
    """None where no model is chosen by it."""
    candidates: list[CandidateRead]
    """In the order in which they would be asked now."""
    fallbacks: dict[Fallback, list[CandidateRead]]
    downgrades: list[CandidateRead]
    """Who takes it where a budget with the policy `downgrade` is too far used up."""
    refused: list[RefusedRead]
