"""The list of budgets as this process knows it, and which of them concern a job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment
from shared.db.budgets import Listed, read_budgets, read_version
from shared.db.engine import Database
from shared.domain.budget import AtLimit, Budget, Payer, payers_of_call, payers_of_job


class OtherBudgetsError(RuntimeError):
    """Since jobs were made, other budgets send them elsewhere: they are made anew."""


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
        ours = payers_of_job(
            job.tenant_id,
            key_id=job.key_id,
            project=job.project,
            batch=job.batch,
            tags=job.tags or (),
        )
        by_call = payers_of_call(
            job.tenant_id, model=deployment.model.id, provider=deployment.provider.id
        )
        return [each for payer in (*ours, *by_call) for each in self.budgets.get(payer, ())]

    def downgrades(self, tenant_id: str) -> frozenset[Budget]:
        """Those that may send some job of this tenant to a cheaper route."""
        return frozenset(
            each
            for payer, budgets in self.budgets.items()
            if payer.tenant_id in {None, tenant_id}
            for each in budgets
            if each.at_limit is AtLimit.DOWNGRADE and each.downgrade_to
        )


class BudgetBook:
    """The list that this process read last; every submission asks whether it still holds."""

    def __init__(self) -> None:
        self._book = Book()

    async def known(self, database: Database) -> Book:
        """As it was read last."""
        if self._book.version is None:
            async with database.transaction() as connection:
                self._book = Book.of(await read_budgets(connection))
        return self._book

    async def still(self, connection: AsyncConnection, book: Book, tenant_id: str) -> Book:
        """As `of_now`. Raises OtherBudgetsError where jobs made by `book` would be other ones."""
        now = await self.of_now(connection)
        if now is not book and now.downgrades(tenant_id) != book.downgrades(tenant_id):
            raise OtherBudgetsError
        return now

    async def of_now(self, connection: AsyncConnection) -> Book:
        """As this transaction sees it, with what it has written itself."""
        if await read_version(connection) == self._book.version:
            return self._book
        # It may hold what is never committed, and is not kept: `known` reads it anew.
        self._book = Book()
        return Book.of(await read_budgets(connection))
