"""Choose for each due job who may take it now, in which order, or that nobody ever will."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.catalog.deployments import Catalog, Deployment
from shared.db.release import DueJob
from shared.domain.budget import AtLimit, Budget
from shared.domain.clock import Clock
from shared.domain.job import GiveUp
from shared.domain.money import show_usd
from shared.routing.able import Nobody, able
from shared.routing.costs import expected_costs, hold_of
from shared.routing.stored import Strategy
from shared.routing.strategies import arranged
from worker.dispatch.budgets import Purse
from worker.dispatch.fleet import Fleet
from worker.dispatch.plan import Choice, is_retry
from worker.dispatch.retries import RetryBudgets

BY_VITALS: Final = frozenset({Strategy.LEAST_BUSY, Strategy.LATENCY})


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A job that nobody may take any more."""

    job: DueJob
    why: Nobody


@dataclass(slots=True)
class Chosen:
    """What came of the due jobs; those in neither list wait for somebody to come back."""

    choices: list[Choice] = field(default_factory=list)
    hopeless: list[Hopeless] = field(default_factory=list)
    retry_wait: float | None = None
    """Seconds until the first job that the budget of retries holds back may go."""
    over_budget: int = 0
    """Jobs that a budget of money holds back until it has room."""


class Chooser:
    """Knows the catalog, who is open, and what retries and money are left."""

    def __init__(
        self, catalog: Catalog, fleet: Fleet, clock: Clock, retries: RetryBudgets, purse: Purse
    ) -> None:
        self._catalog = catalog
        self._fleet = fleet
        self._clock = clock
        self._retries = retries
        self._purse = purse

    def choose(self, jobs: Iterable[DueJob], plan: Sequence[Deployment]) -> Chosen:
        """For each job, in order; `plan`: the deployments of its route that are open.

        Raises ConfigurationError where a price is wanted and unknown.
        """
        chosen = Chosen()
        for job in jobs:
            candidates = self._candidates(job, plan)
            if isinstance(candidates, Nobody):
                chosen.hopeless.append(Hopeless(job, candidates))
                continue
            candidates = self._within_retries(job, candidates, chosen)
            if candidates and self._purse.windows:
                candidates = self._within_budgets(job, candidates, chosen)
            if candidates:
                choice = Choice(job, self._arranged(job, candidates))
                self._promise(choice)
                chosen.choices.append(choice)
        return chosen

    def _candidates(
        self, job: DueJob, plan: Sequence[Deployment]
    ) -> tuple[Deployment, ...] | Nobody:
        """Those that may take it, and whose worst case it can still pay."""
        found = able(job, plan, known=self._catalog.known, open_of=self._fleet.open_of)
        most = job.policy.max_cost_nano if job.policy else None
        if most is None or not found or isinstance(found, Nobody):
            return found
        holds = {each.id: self.hold(job, each) for each in found}
        within = tuple(each for each in found if job.cost_nano + holds[each.id] <= most)
        if within:
            return within
        reason = (
            f"it may cost {show_usd(most)}, its calls so far cost {show_usd(job.cost_nano)} "
            f"and the next may cost {show_usd(min(holds.values()))}"
        )
        return Nobody(GiveUp.MAX_COST, reason)

    def _within_budgets(
        self, job: DueJob, found: tuple[Deployment, ...], chosen: Chosen
    ) -> tuple[Deployment, ...]:
        """Those whose call every budget has room for, or else the cheaper ones it may come to."""
        bindings = [self._binding(job, each) for each in found]
        if within := tuple(each for each, no in zip(found, bindings, strict=True) if no is None):
            return within
        budget = next(filter(None, bindings))
        if cheaper := self._cheaper(job, budget):
            return cheaper
        least = min(self.hold(job, each) for each in found)
        if budget.at_limit is AtLimit.REJECT and self._purse.never(budget, least):
            reason = budget.no_room(self._purse.spent(budget), least)
            chosen.hopeless.append(Hopeless(job, Nobody(GiveUp.BUDGET, reason)))
        else:
            chosen.over_budget += 1
        return ()

    def _cheaper(self, job: DueJob, budget: Budget) -> tuple[Deployment, ...]:
        """Those of the route that the budget sends a job to, as far as they are within it."""
        if budget.at_limit is not AtLimit.DOWNGRADE or job.policy is None:
            return ()
        known = filter(None, map(self._catalog.known, job.policy.downgrades))
        return tuple(
            each
            for each in self._fleet.open_of(tuple(known))
            if self._binding(job, each, downgraded=True) is None
        )

    def _binding(
        self, job: DueJob, deployment: Deployment, *, downgraded: bool = False
    ) -> Budget | None:
        amount = self.hold(job, deployment)
        return self._purse.binding(job, deployment, amount, downgraded=downgraded)

    def _promise(self, choice: Choice) -> None:
        """What goes in this turn has it; another of its candidates is checked at its release."""
        first = choice.candidates[0]
        if self._purse.windows:
            self._purse.promise(choice.job, first, self.hold(choice.job, first))

    def _within_retries(
        self, job: DueJob, found: tuple[Deployment, ...], chosen: Chosen
    ) -> tuple[Deployment, ...]:
        if not job.tries or not found:
            return found
        within = tuple(
            each for each in found if not is_retry(job, each) or self._retries.allows(each.id)
        )
        if not within:
            wait = min(self._retries.wait(each.id) for each in found)
            chosen.retry_wait = min(wait, chosen.retry_wait or wait)
        return within

    def _arranged(self, job: DueJob, candidates: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
        if job.policy is None or len(candidates) == 1:
            return candidates
        strategy = job.policy.strategy
        if strategy in BY_VITALS:
            self._fleet.watch_vitals()
        order = arranged(
            strategy,
            candidates,
            vitals=self._fleet.vitals,
            job_id=job.id,
            weights=job.policy.weights,
            costs=self._costs(job, candidates) if strategy is Strategy.COST else {},
        )
        self._fleet.placed(order[0].id)
        return order

    def _costs(self, job: DueJob, candidates: tuple[Deployment, ...]) -> dict[str, int]:
        self._fleet.watch_habits()
        return expected_costs(
            candidates,
            self._fleet.habits,
            input_tokens={each.id: job.input_at(each.id) for each in candidates},
            max_tokens=job.max_tokens,
            searching=job.web_search,
            at=self._clock.now(),
        )

    def hold(self, job: DueJob, deployment: Deployment) -> int:
        """The most that one attempt can cost there, nano-USD."""
        return hold_of(
            deployment,
            input_tokens=job.input_at(deployment.id),
            max_tokens=job.max_tokens,
            searching=job.web_search,
            at=self._clock.now(),
        )
