"""Who may take a waiting job now: its policy's or its route's deployments, less who cannot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from shared.catalog.deployments import Deployment
from shared.domain.failure import FailureKind
from shared.domain.job import GiveUp
from shared.routing.stored import StoredPolicy

FAILURES: Final = frozenset(FailureKind)


class Waiting(Protocol):
    """What is asked of a job."""

    @property
    def policy(self) -> StoredPolicy | None:
        """None: its route says all."""

    @property
    def tried(self) -> Sequence[str]:
        """Deployments that failed it, each as often as it did."""

    @property
    def unfit(self) -> Sequence[str]:
        """Deployments of its route that cannot take it."""

    @property
    def last_failure(self) -> str | None:
        """The kind of its last failure."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Nobody may ever take it."""

    kind: GiveUp
    reason: str


Open = Callable[[Sequence[Deployment]], Sequence[Deployment]]
"""Those of the given that can be called now."""
Known = Callable[[str], Deployment | None]
"""The deployment of an id; None where the catalog has it no more."""


def able(
    job: Waiting, plan: Sequence[Deployment], *, known: Known, open_of: Open
) -> tuple[Deployment, ...] | Nobody:
    """Untried ones first, then the least tried; empty: it waits until somebody can be called.

    `plan`: the deployments of its route that can be called now.
    """
    if job.policy is None:
        fit = [each for each in plan if each.id not in job.unfit]
        return tuple(sorted(fit, key=lambda each: job.tried.count(each.id)))
    failure = FailureKind(job.last_failure) if job.last_failure in FAILURES else None
    if not job.policy.choices(job.tried, failure):
        return Nobody(GiveUp.EXHAUSTED, "each of its deployments has had its tries")
    found = {each: known(each) for each in job.policy.deployments()}
    there = tuple(filter(None, found.values()))
    if not there:
        names = ", ".join(found)
        return Nobody(GiveUp.NO_DEPLOYMENT, f"the catalog has none of {names} any more")
    open_ids = {each.id for each in open_of(there)}
    named = _chosen(job.policy, open_ids, job.tried, failure)
    return tuple(each for name in named if (each := found[name]))


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
