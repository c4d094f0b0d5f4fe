"""When the lines of a quote would be answered, and what sets the pace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from redis.exceptions import RedisError

from api.quotes.reckon import Line
from api.quotes.schemas import QuotedEta
from shared.catalog.deployments import Deployment
from shared.catalog.limits import Counting
from shared.db.explain import Place, Queue
from shared.meters.meter import MemoryLostError, Meter, Want
from shared.routing.strategies import Vitals

MINUTE: Final = 60.0
ASKING: Final = "quote"
"""Stands for the attempt that asks a meter and takes nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """The mean of the lines: tokens."""

    input_tokens: float
    output_tokens: float
    max_tokens: float

    @classmethod
    def mean_of(cls, lines: Sequence[Line], deployment: str) -> "Call":
        """Of at least one line, as this one counts."""
        return cls(
            sum(line.job.input_at(deployment) for line in lines) / len(lines),
            sum(line.expected_output for line in lines) / len(lines),
            sum(line.job.max_tokens for line in lines) / len(lines),
        )

    def tokens(self, counts: Counting) -> float:
        """What a limit of tokens counts of it."""
        beside = {Counting.RESERVED: self.max_tokens, Counting.METERED: self.output_tokens}
        return self.input_tokens + beside.get(counts, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The lines of one route, and what goes before them."""

    lines: Sequence[Line]
    share: float
    """Of all lines that there are: the others are quoted in pieces of their own."""
    before: Queue

    @property
    def turns(self) -> int:
        """So many calls are sent until the last of these lines is."""
        return (self.before.ahead + len(self.lines)) * (1 + self.before.other_tenants)

    @property
    def turns_of_all(self) -> float:
        """The same with the lines of the other pieces."""
        return self.turns + len(self.lines) * (1 / self.share - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast calls of one kind can go, of which so many come."""

    lines: Sequence[Line]
    calls: float
    vitals: Vitals
    fleet: Mapping[str, int]
    """Calls that the workers of a queue hold at once."""

    def slowest(self, deployment: Deployment) -> tuple[float, str] | None:
        """Calls a minute, and what allows no more; None where nothing is known to."""
        if not self.fleet.get(deployment.queue):
            return 0.0, "workers"
        found = {**self._by_limits(deployment), **self._by_slots(deployment)}
        return min(((rate, name) for name, rate in found.items()), default=None)

    def _by_limits(self, deployment: Deployment) -> dict[str, float]:
        limits, call = deployment.limits, Call.mean_of(self.lines, deployment.id)
        windows = MINUTE / limits.window * (1 - limits.margin)
        output = call.max_tokens if limits.counts is Counting.RESERVED else call.output_tokens
        allowed = {
            "requests": limits.requests * windows,
            "tokens": limits.tokens * windows / max(call.tokens(limits.counts), 1),
            "input_tokens": limits.input_tokens * windows / max(call.input_tokens, 1),
            "output_tokens": limits.output_tokens * windows / max(output, 1),
            "requests_per_second": limits.requests_per_second * MINUTE,
        }
        if self.calls > limits.requests_per_day:
            allowed["requests_per_day"] = limits.requests_per_day / (24 * MINUTE)
        return {name: rate for name, rate in allowed.items() if rate}

    def _by_slots(self, deployment: Deployment) -> dict[str, float]:
        latency = self.vitals.latency_ms.get(deployment.id)
        if not latency:
            return {}
        slots = {
            "concurrency": deployment.limits.concurrency,
            "workers": self.fleet[deployment.queue],
        }
        return {name: each * MINUTE * 1000 / latency for name, each in slots.items() if each}


def place_of(line: Line) -> Place:
    """Where it would stand if it were submitted now: behind all of its lane."""
    job = line.job
    return Place(
        tenant_id=job.tenant_id,
        key_id=job.key_id,
        job_id=job.id,
        route=job.route,
        lane=job.lane,
        isolated=False,
        tried=(),
        unfit=job.unfit or (),
        released=False,
        policy=None,
        last_failure=None,
        input_tokens=job.input_tokens,
        max_tokens=job.max_tokens,
        web_search=job.web_search,
        project=job.project,
        batch=job.batch,
        tags=job.tags or (),
    )


async def eta_of(
    meter: Meter, load: Load, at: datetime, vitals: Vitals, fleet: Mapping[str, int]
) -> QuotedEta | None:
    """Of the last of these lines; None where nothing is known that holds them."""
    lines, before = load.lines, load.before
    whom = tuple(dict.fromkeys(each for line in lines for each in line.whom))
    pace = Pace(lines=lines, calls=load.turns_of_all, vitals=vitals, fleet=fleet)
    paces = {each: found for each in whom if (found := pace.slowest(each))}
    a_minute = sum(rate for rate, _ in paces.values())
    if not a_minute:
        return None
    first = next(each for each in paces if paces[each][0])
    wait = await _wait(meter, first, lines[0], fleet)
    answer = vitals.latency_ms.get(first.id, 0.0) / 1000
    seconds = wait + (load.turns - 1) * MINUTE / a_minute + answer
    return QuotedEta(
        seconds=round(seconds, 3),
        at=at + timedelta(seconds=seconds),
        binding=paces[first][1],
        deployment=first.id,
        calls_a_minute=round(a_minute, 3),
        ahead=before.ahead,
        other_tenants=before.other_tenants,
        wait_seconds=round(wait, 3),
        answer_seconds=round(answer, 3),
    )


async def _wait(meter: Meter, first: Deployment, line: Line, fleet: Mapping[str, int]) -> float:
    """Seconds until such a call may go; none are known while Redis is away."""
    want = Want(ASKING, line.job.input_at(first.id), line.job.max_tokens)
    try:
        told = await meter.look(first, first.queue, fleet.get(first.queue, 0), want)
    except (RedisError, MemoryLostError, OSError):
        return 0.0
    return told.wait
