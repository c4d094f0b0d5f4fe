"""The list of budgets as it was read, and which of them concern a job."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.catalog.deployments import Deployment
from shared.db.budgets import Listed
from shared.domain.budget import AtLimit, Budget, Payer, payers_of_call, payers_of_job


class Counted(Protocol):
    """What decides whose budgets a job counts in."""

    @property
    def tenant_id(self) -> str:
        """Whose it is."""

    @property
    def key_id(self) -> str | None:
        """By which key it came."""

    @property
    def project(self) -> str | None:
        """Of its tenant's."""

    @property
    def batch(self) -> str | None:
        """The label that it shares."""

    @property
    def tags(self) -> Sequence[str] | None:
        """Each may have a budget of its own."""


def payers_of(job: Counted) -> Iterator[Payer]:
    """Whom it is counted for, whoever answers it."""
    return payers_of_job(
        job.tenant_id,
        key_id=job.key_id,
        project=job.project,
        batch=job.batch,
        tags=job.tags or (),
    )


@dataclass(frozen=True, slots=True)
class Book:
    """Every budget, by whom it counts for."""

    version: int | None = None
    """None: nobody has read it yet."""
    budgets: Mapping[Payer, Sequence[Budget]] = field(default_factory=dict)

    @classmethod
    def of(cls, listed: Listed) -> "Book":
        """From their rows."""
        budgets: dict[Payer, list[Budget]] = {}
        for budget in listed.budgets:
            budgets.setdefault(budget.payer, []).append(budget)
        return cls(listed.version, budgets)

    def concerning(self, job: Counted, deployment: Deployment) -> list[Budget]:
        """Those that a call of the job there counts in; a rehearsal costs nobody money."""
        if not self.budgets or deployment.provider.rehearsal:
            return []
        by_call = payers_of_call(
            job.tenant_id, model=deployment.model.id, provider=deployment.provider.id
        )
        return [
            each for payer in (*payers_of(job), *by_call) for each in self.budgets.get(payer, ())
        ]

    def downgrades(self, tenant_id: str) -> frozenset[Budget]:
        """Those that may send some job of this tenant to a cheaper route."""
        return frozenset(
            each
            for payer, budgets in self.budgets.items()
            if payer.tenant_id in {None, tenant_id}
            for each in budgets
            if each.at_limit is AtLimit.DOWNGRADE and each.downgrade_to
        )
