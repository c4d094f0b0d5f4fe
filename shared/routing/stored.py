"""The policy of a job as its row keeps it: deployments by id, nothing left to look up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

from shared.catalog.deployments import PLAN_MARK
from shared.domain.failure import CORRECTION_TOKENS, FailureKind


class Strategy(StrEnum):
    """In which order candidates are asked that can all take a job."""

    ORDERED = "ordered"
    """As they are listed."""
    WEIGHTED = "weighted"
    """Each comes first as often as its weight says."""
    LEAST_BUSY = "least_busy"
    """The one with the smallest part of its limit in use."""
    LATENCY = "latency"
    """The one whose answers came soonest of late."""
    COST = "cost"
    """The cheapest for this job."""


class Fallback(StrEnum):
    """After what failure other candidates are asked."""

    CONTEXT_LENGTH = "context_length"
    """It was too long for the model."""
    CONTENT_FILTER = "content_filter"
    """The provider's filter refused it."""
    DEFAULT = "default"
    """Every candidate failed in some other way that another may be spared."""


FALLBACK_OF: Final = {
    FailureKind.CONTEXT_LENGTH: Fallback.CONTEXT_LENGTH,
    FailureKind.TOO_LARGE: Fallback.CONTEXT_LENGTH,
    FailureKind.CONTENT_FILTERED: Fallback.CONTENT_FILTER,
}
"""Failures that lead to a list of their own at once."""
NO_WEIGHTS: Final[Mapping[str, float]] = {}
NO_FALLBACKS: Final[Mapping[Fallback, tuple[str, ...]]] = {}
NO_INPUTS: Final[Mapping[str, int]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """What the dispatcher obeys. A job without a policy has none of this: its row keeps null."""

    candidates: tuple[str, ...]
    """Deployments, `provider/model`, in the caller's order; all of them can take the job."""
    strategy: Strategy = Strategy.ORDERED
    weights: Mapping[str, float] = field(default_factory=lambda: NO_WEIGHTS)
    """Deployment to its weight; 1 where absent."""
    fallbacks: Mapping[Fallback, tuple[str, ...]] = field(default_factory=lambda: NO_FALLBACKS)
    """Deployments that are asked only after such a failure."""
    max_cost_nano: int | None = None
    """The most that all attempts of the job may cost together."""
    max_tries: int | None = None
    """Failed tries after which one deployment is asked no more; None: it comes round again."""
    downgrades: tuple[str, ...] = ()
    """Deployments of the cheaper route that a budget of its tenant sends it to near its cap."""
    inputs: Mapping[str, int] = field(default_factory=lambda: NO_INPUTS)
    """Deployment to the input tokens that its model counts; those of the job's row where absent."""

    def fallback_for(self, failure: FailureKind) -> tuple[str, ...]:
        """The deployments of the list that this failure leads to at once; most have none."""
        kind = FALLBACK_OF.get(failure)
        return self.fallbacks.get(kind, ()) if kind is not None else ()

    def choices(self, tried: Sequence[str], failure: FailureKind | None = None) -> tuple[str, ...]:
        """The deployments that may take the next attempt, in the order of the policy.

        `tried`: those that failed so far, each as often as it did; `failure`: how the last of
        them did. First those that were not tried: the candidates, then the default list; then
        whoever may be tried again, the least tried first. A failure with a list of its own leads
        to that, and to nobody else as long as the last that was tried is of it. Empty: every
        deployment had its tries, the job has failed.
        """
        led = self.fallback_for(failure) if failure is not None else ()
        lists = [led or self._list_of(tried[-1])] if tried else [()]
        if not lists[0]:
            lists = [self.candidates, self.fallbacks.get(Fallback.DEFAULT, ())]
        for listed in lists:
            if fresh := tuple(each for each in listed if each not in tried):
                return fresh
        return self._again([each for listed in lists for each in listed], tried)

    def deployments(self) -> tuple[str, ...]:
        """All that it names, each once, those of the fallbacks last."""
        lists = (self.candidates, *self.fallbacks.values())
        return tuple(dict.fromkeys(each for listed in lists for each in listed))

    def _list_of(self, deployment: str) -> tuple[str, ...]:
        """The list by which alone it was reached; none for a candidate or one of the default."""
        if deployment in self.candidates:
            return ()
        special = (self.fallbacks.get(kind, ()) for kind in dict.fromkeys(FALLBACK_OF.values()))
        return next((listed for listed in special if deployment in listed), ())

    def _again(self, listed: Sequence[str], tried: Sequence[str]) -> tuple[str, ...]:
        counts = {each: tried.count(each) for each in listed}
        if self.max_tries is not None:
            counts = {each: count for each, count in counts.items() if count < self.max_tries}
        least = min(counts.values(), default=0)
        return tuple(each for each, count in counts.items() if count == least)

    def route(self, model_route: str) -> str:
        """The dispatcher's route of its jobs: those of one plan stand in line only with each other.

        What one job's candidates cannot take would else stand before what another's can.
        """
        plan = replace(self, max_cost_nano=None, inputs=NO_INPUTS).to_json()
        drawn = blake2b(repr(plan).encode(), digest_size=4).hexdigest()
        return f"{model_route}{PLAN_MARK}{drawn}"

    def to_json(self) -> dict[str, Any]:
        """The JSON value that jobs.policy keeps; what has its default is left out."""
        value = {
            "candidates": list(self.candidates),
            "strategy": None if self.strategy is Strategy.ORDERED else self.strategy.value,
            "weights": dict(self.weights),
            "fallbacks": {kind.value: list(listed) for kind, listed in self.fallbacks.items()},
            "max_cost_nano": self.max_cost_nano,
            "max_tries": self.max_tries,
            "downgrades": list(self.downgrades),
            "inputs": dict(self.inputs),
        }
        return {name: each for name, each in value.items() if each not in (None, {}, [])}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "StoredPolicy":
        """What `to_json` gave."""
        fallbacks = value.get("fallbacks", {})
        return cls(
            candidates=tuple(value["candidates"]),
            strategy=Strategy(value.get("strategy", Strategy.ORDERED)),
            weights=dict(value.get("weights", NO_WEIGHTS)),
            fallbacks={Fallback(kind): tuple(listed) for kind, listed in fallbacks.items()},
            max_cost_nano=value.get("max_cost_nano"),
            max_tries=value.get("max_tries"),
            downgrades=tuple(value.get("downgrades", ())),
            inputs=dict(value.get("inputs", NO_INPUTS)),
        )


def input_at(
    policy: StoredPolicy | None, deployment: str, most: int, failure: str | None = None
) -> int:
    """The input tokens of a job's next call at this deployment, at the most.

    `most`: those of its row, which are enough for whoever its policy has no count for;
    `failure`: the kind of its last one, which the next try may have to be told of.
    """
    counted = policy.inputs.get(deployment, most) if policy else most
    return counted + CORRECTION_TOKENS.get(failure or "", 0)
