"""Put the candidates of a job in the order in which they are asked: one function per strategy."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf, log
from typing import Final

from shared.catalog.deployments import Deployment
from shared.routing.stored import Strategy

PROBED: Final = 0.05
"""The part of jobs that ask a deployment first of which nobody knows how fast it is."""
UNLIMITED: Final = 10_000
"""Calls at once of a deployment without limits, to compare it with others."""
UNPRICED: Final = 2**63
"""Dearer than anything that has a price, in nano-USD."""
SPACE: Final = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How deployments do, by id, as of the last look. One that is absent is idle and unknown."""

    in_flight: Mapping[str, int] = field(default_factory=dict)
    """Calls under way; whoever places many jobs at one look counts them in as it goes."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """Medians of the newest answers."""
    failing: Collection[str] = frozenset()
    """Those whose breaker is not closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a strategy may look at."""

    vitals: Vitals
    job_id: str
    weights: Mapping[str, float]
    costs: Mapping[str, int]


Key = Callable[[Deployment, Facts], float]
"""The smaller, the sooner."""


def arranged(
    strategy: Strategy,
    deployments: Sequence[Deployment],
    vitals: Vitals,
    job_id: str,
    weights: Mapping[str, float],
    costs: Mapping[str, int],
) -> tuple[Deployment, ...]:
    """The same deployments in the order in which they shall be asked.

    `weights`: by deployment id, 1 where absent; `costs`: nano-USD that the job is expected to
    cost there, last where absent. The same arguments give the same order, equals keep theirs,
    and whoever is failing comes last whatever the strategy.
    """
    facts = Facts(vitals=vitals, job_id=job_id, weights=weights, costs=costs)
    key = KEYS[strategy]
    return tuple(
        sorted(deployments, key=lambda each: (each.id in vitals.failing, key(each, facts)))
    )


def _as_listed(_: Deployment, __: Facts) -> float:
    return 0.0


def _by_weight(deployment: Deployment, facts: Facts) -> float:
    """Weighted sampling without replacement, after Efraimidis and Spirakis."""
    return -log(_drawn(facts.job_id, deployment.id)) / facts.weights.get(deployment.id, 1.0)


def _by_load(deployment: Deployment, facts: Facts) -> float:
    """The part of its limit that is in use."""
    limits = deployment.limits
    most = limits.concurrency or limits.requests or UNLIMITED
    return facts.vitals.in_flight.get(deployment.id, 0) / most


def _by_latency(deployment: Deployment, facts: Facts) -> float:
    """The unknown come last, but for a few jobs that find out."""
    known = facts.vitals.latency_ms.get(deployment.id)
    if known is not None:
        return known
    return 0.0 if _drawn(facts.job_id, "probe") < PROBED else inf


def _by_cost(deployment: Deployment, facts: Facts) -> int:
    return facts.costs.get(deployment.id, UNPRICED)


KEYS: Final[dict[Strategy, Key]] = {
    Strategy.ORDERED: _as_listed,
    Strategy.WEIGHTED: _by_weight,
    Strategy.LEAST_BUSY: _by_load,
    Strategy.LATENCY: _by_latency,
    Strategy.COST: _by_cost,
}


def _drawn(*names: str) -> float:
    """A number above 0 and up to 1 that these names always draw."""
    drawn = blake2b("\0".join(names).encode(), digest_size=8).digest()
    return (int.from_bytes(drawn, "big") + 1) / SPACE
