"""What comes of a policy: who may take a job and why, who may not and why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.catalog.deployments import Deployment
from shared.catalog.fit import Fitted
from shared.routing.chain import Refused
from shared.routing.complexity import Judgement
from shared.routing.policy import Policy
from shared.routing.stored import Fallback, StoredPolicy, Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A deployment that can take the job."""

    deployment: Deployment
    fitted: Fitted
    """The request as its model takes it, with the tokens as that one counts them."""
    reasons: tuple[str, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is decided of a job before it waits for its turn."""

    fitted: Fitted
    """The request as it is stored, its tokens as the most that any of them counts.

    Its model is the first candidate's: the job is shown as a job of that model, and its queue is
    that model's at this plan (`StoredPolicy.route`), so that only jobs alike stand in one line.
    """
    candidates: tuple[Candidate, ...]
    """In the policy's order, before the strategy."""
    policy: Policy
    """What holds after tenant, route and job have spoken."""
    fallbacks: Mapping[Fallback, tuple[Candidate, ...]] = field(default_factory=dict)
    downgrades: tuple[Candidate, ...] = ()
    """Who takes it where a budget is too far used up for the candidates."""
    refused: tuple[Refused, ...] = ()
    judged: Judgement | None = None

    def stored(self) -> StoredPolicy:
        """As the job's row keeps it."""
        strategy = self.policy.strategy or Strategy.ORDERED
        weights = {each.deployment.id: each.weight for each in self.candidates}
        most = self.fitted.input_tokens
        counts = {each.deployment.id: each.fitted.input_tokens for each in self.everybody}
        return StoredPolicy(
            candidates=_ids(self.candidates),
            strategy=strategy,
            weights=weights if strategy is Strategy.WEIGHTED else {},
            fallbacks={kind: _ids(listed) for kind, listed in self.fallbacks.items()},
            max_cost_nano=self.policy.max_cost_nano,
            max_tries=self.policy.max_tries,
            downgrades=_ids(self.downgrades),
            inputs={name: counted for name, counted in counts.items() if counted != most},
        )

    @property
    def everybody(self) -> tuple[Candidate, ...]:
        """Whoever may ever be asked."""
        fallbacks = (each for listed in self.fallbacks.values() for each in listed)
        return (*self.candidates, *fallbacks, *self.downgrades)


def _ids(candidates: tuple[Candidate, ...]) -> tuple[str, ...]:
    return tuple(candidate.deployment.id for candidate in candidates)
