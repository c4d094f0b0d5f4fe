"""Choose for each due job who may take it now, in which order, or that nobody ever will."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from shared.catalog.deployments import Catalog, Deployment
from shared.catalog.pricing import most_searches, worst_case
from shared.db.release import DueJob
from shared.domain.clock import Clock
from shared.domain.failure import FailureKind
from shared.domain.job import GiveUp
from shared.domain.money import show_usd
from shared.routing.stored import StoredPolicy, Strategy
from shared.routing.strategies import arranged
from worker.dispatch.fleet import Fleet
from worker.dispatch.plan import Choice
from worker.dispatch.retries import RetryBudgets

FAILURES: Final = frozenset(FailureKind)
BY_VITALS: Final = frozenset({Strategy.LEAST_BUSY, Strategy.LATENCY})


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A job that nobody may take any more."""

    job: DueJob
    kind: GiveUp
    reason: str


@dataclass(slots=True)
class Chosen:
    """What came of the due jobs; those in neither list wait for somebody to come back."""

    choices: list[Choice] = field(default_factory=list)
    hopeless: list[Hopeless] = field(default_factory=list)
    retry_wait: float | None = None
    """Seconds until the first job that the budget of retries holds back may go."""


class Chooser:
    """Knows the catalog, who is open, and what retries are left."""

    def __init__(self, catalog: Catalog, fleet: Fleet, clock: Clock, retries: RetryBudgets) -> None:
        self._catalog = catalog
        self._fleet = fleet
        self._clock = clock
        self._retries = retries

    def choose(self, jobs: Iterable[DueJob], plan: Sequence[Deployment]) -> Chosen:
        """For each job, in order; `plan`: the deployments of its route that are open.

        Raises ConfigurationError where a price is wanted and unknown.
        """
        chosen = Chosen()
        for job in jobs:
            able = self._able(job, plan)
            if isinstance(able, Hopeless):
                chosen.hopeless.append(able)
                continue
            candidates = self._within_retries(job, able, chosen)
            if candidates:
                chosen.choices.append(Choice(job, self._arranged(job, candidates)))
        return chosen

    def _able(self, job: DueJob, plan: Sequence[Deployment]) -> tuple[Deployment, ...] | Hopeless:
        """Those that are open and may take it: untried ones first, then the least tried."""
        if job.policy is None:
            fit = [each for each in plan if each.id not in job.unfit]
            return tuple(sorted(fit, key=lambda each: job.tried.count(each.id)))
        failure = FailureKind(job.last_failure) if job.last_failure in FAILURES else None
        if not job.policy.choices(job.tried, failure):
            return Hopeless(job, GiveUp.EXHAUSTED, "each of its deployments has had its tries")
        known = {each: self._catalog.known(each) for each in job.policy.deployments()}
        found = tuple(filter(None, known.values()))
        if not found:
            reason = f"the catalog has none of {', '.join(known)} any more"
            return Hopeless(job, GiveUp.NO_DEPLOYMENT, reason)
        open_ids = {each.id for each in self._fleet.open_of(found)}
        named = _chosen(job.policy, open_ids, job.tried, failure)
        return self._affordable(job, [each for name in named if (each := known[name])])

    def _affordable(self, job: DueJob, able: list[Deployment]) -> tuple[Deployment, ...] | Hopeless:
        """Those whose worst case the job can still pay."""
        most = job.policy.max_cost_nano if job.policy else None
        if most is None or not able:
            return tuple(able)
        holds = {each.id: self.hold(job, each) for each in able}
        within = tuple(each for each in able if job.cost_nano + holds[each.id] <= most)
        if within:
            return within
        reason = (
            f"it may cost {show_usd(most)}, its calls so far cost {show_usd(job.cost_nano)} "
            f"and the next may cost {show_usd(min(holds.values()))}"
        )
        return Hopeless(job, GiveUp.MAX_COST, reason)

    def _within_retries(
        self, job: DueJob, able: tuple[Deployment, ...], chosen: Chosen
    ) -> tuple[Deployment, ...]:
        if not job.tries or not able:
            return able
        within = tuple(each for each in able if self._retries.allows(each.id))
        if not within:
            wait = min(self._retries.wait(each.id) for each in able)
            chosen.retry_wait = min(wait, chosen.retry_wait or wait)
        return within

    def _arranged(self, job: DueJob, candidates: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
        if job.policy is None or len(candidates) == 1:
            return candidates
        strategy = job.policy.strategy
        if strategy in BY_VITALS:
            self._fleet.watch_vitals()
        priced = candidates if strategy is Strategy.COST else ()
        order = arranged(
            strategy,
            candidates,
            vitals=self._fleet.vitals,
            job_id=job.id,
            weights=job.policy.weights,
            costs={each.id: self.hold(job, each) for each in priced},
        )
        self._fleet.placed(order[0].id)
        return order

    def hold(self, job: DueJob, deployment: Deployment) -> int:
        """The most that one attempt can cost there, nano-USD."""
        return worst_case(
            deployment,
            input_tokens=job.input_tokens,
            max_tokens=job.max_tokens,
            searches=most_searches(deployment, asked=job.web_search),
            at=self._clock.now(),
        )


def _chosen(
    policy: StoredPolicy,
    open_ids: set[str],
    tried: Sequence[str],
    failure: FailureKind | None,
) -> tuple[str, ...]:
    """As the policy chooses among those that are open.

    A failure with a list of its own leads nowhere else: the others would refuse the same request.
    """
    own = policy.fallback_for(failure) if failure is not None else ()
    if own and not open_ids.intersection(own):
        return ()
    within = replace(
        policy,
        candidates=tuple(each for each in policy.candidates if each in open_ids),
        fallbacks={
            kind: tuple(each for each in listed if each in open_ids)
            for kind, listed in policy.fallbacks.items()
        },
    )
    return within.choices(tried, failure)
