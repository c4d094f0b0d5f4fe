"""What one call of a job can cost at a deployment: at most, and as calls there usually do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean

from shared.catalog.deployments import Deployment
from shared.catalog.pricing import most_searches, price_of, worst_case
from shared.domain.errors import ConfigurationError
from shared.domain.generation import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What the newest answers of deployments were like, by id."""

    output_tokens: Mapping[str, float] = field(default_factory=dict)
    """On average."""
    cached: Mapping[str, float] = field(default_factory=dict)
    """The part of their input that came out of a cache."""


def hold_of(
    deployment: Deployment, *, input_tokens: int, max_tokens: int, searching: bool, at: datetime
) -> int:
    """In nano-USD, as the dispatcher holds it. Raises ConfigurationError for an unknown price."""
    return worst_case(
        deployment,
        input_tokens=input_tokens,
        max_tokens=max_tokens,
        searches=most_searches(deployment, asked=searching),
        at=at,
    )


def most_cost(
    deployment: Deployment, *, input_tokens: int, max_tokens: int, searching: bool, at: datetime
) -> int | None:
    """The same; None where nobody knows the price."""
    try:
        return hold_of(
            deployment,
            input_tokens=input_tokens,
            max_tokens=max_tokens,
            searching=searching,
            at=at,
        )
    except ConfigurationError:
        return None


def expected_costs(
    candidates: Sequence[Deployment],
    habits: Habits,
    *,
    input_tokens: Mapping[str, int],
    max_tokens: int,
    searching: bool,
    at: datetime,
) -> dict[str, int]:
    """Nano-USD by deployment id, without those whose price nobody knows.

    `input_tokens`: as each of them counts them, by its id. As much of the input
    is cached as it usually is there. The output is taken for as long as those of all candidates
    are on average, so that who is not known yet is compared alike.
    """
    known = [
        habits.output_tokens[each.id] for each in candidates if each.id in habits.output_tokens
    ]
    output_tokens = min(round(fmean(known)), max_tokens) if known else max_tokens
    costs = {}
    for each in candidates:
        usage = Usage(
            input_tokens=input_tokens[each.id],
            cached_tokens=round(input_tokens[each.id] * habits.cached.get(each.id, 0.0)),
            output_tokens=output_tokens,
            searches=most_searches(each, asked=searching),
        )
        try:
            costs[each.id] = price_of(each, usage, at).cost_nano
        except ConfigurationError:
            continue
    return costs
