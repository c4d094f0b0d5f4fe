"""Who may take a job now, who is asked instead, and what asks one meter together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.broker.messages import ISOLATED_QUEUE
from shared.catalog.deployments import Deployment
from shared.db.release import DueJob
from shared.domain.attempt import Further
from shared.meters.meter import Grant
from shared.routing.stored import Strategy

AWAY: Final = frozenset({"blocked", "breaker"})
"""What a meter says of a deployment that nobody shall call for a while."""
AWAY_SECONDS: Final = 1.5
"""A shorter rest is waited for, as a rate is."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A job and who may take it now, the next to ask first; never nobody."""

    job: DueJob
    candidates: tuple[Deployment, ...]

    @property
    def patient(self) -> bool:
        """Its candidates stand in an order of preference: it waits for one that is merely busy."""
        return self.job.policy is None or self.job.policy.strategy is Strategy.ORDERED

    def after(self, grant: Grant) -> "Choice | None":
        """Who is asked instead of the first, which had no room for it; None: it waits.

        Other keys and regions of the same model add their quota to its own. Another model is an
        answer of another kind: a patient job takes it only when its own is away.
        """
        refused, *rest = self.candidates
        away = grant.binding in AWAY and grant.wait >= AWAY_SECONDS
        if self.patient and not away:
            rest = [each for each in rest if each.model.id == refused.model.id]
        return replace(self, candidates=tuple(rest)) if rest else None


@dataclass(frozen=True, slots=True)
class Ask:
    """Choices, in their order, that want the same deployment through the same queue."""

    deployment: Deployment
    queue: str
    choices: list[Choice]


def asks(choices: Iterable[Choice]) -> list[Ask]:
    """Group by who is asked first; suspects go through the isolated queue, whoever that is."""
    grouped: dict[tuple[str, str], Ask] = {}
    for choice in choices:
        deployment = choice.candidates[0]
        queue = ISOLATED_QUEUE if choice.job.isolated else deployment.queue
        ask = grouped.setdefault((deployment.id, queue), Ask(deployment, queue, []))
        ask.choices.append(choice)
    return list(grouped.values())


def is_retry(job: DueJob, deployment: Deployment) -> bool:
    """It has failed there before; another deployment's call is its first one.

    A failure that leads nowhere else is not noted in `tried`: then any may be the same again.
    """
    return deployment.id in job.tried or job.tries > len(job.tried)


def further(job: DueJob, plan: Sequence[Deployment], deployment: Deployment) -> Further:
    """What may follow if `deployment` fails the job's next attempt.

    `plan`: those of its route that are open; a job with a policy has its own.
    """
    tried = (*job.tried, deployment.id)
    if job.policy is None:
        others = [each.id for each in plan if each.id not in job.unfit]
    else:
        others = list(job.policy.choices(tried))
        if not others:
            return Further.NONE
    rounds = tried.count(deployment.id)
    return Further.NOW if any(tried.count(each) < rounds for each in others) else Further.LATER
