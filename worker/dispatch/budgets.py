"""Budgets at a release: who is still within them, and what is held in the same transaction."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment
from shared.db.book import Book, payers_of
from shared.db.budgets import Window, hold, read_budgets, read_version, read_windows
from shared.db.release import DueJob, Permit
from shared.domain.budget import AtLimit, Budget, Payer, Scope

BY_CALL: Final = frozenset({Scope.MODEL, Scope.PROVIDER})
"""What depends on who answers: another deployment of the same job may be within its budgets."""
ByPayer = Mapping[Payer, Sequence[Budget]]


@dataclass(slots=True)
class Purse:
    """What is left of the budgets that jobs at hand count in, less what was promised since."""

    book: Book = field(default_factory=Book)
    concerned: ByPayer = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)
    """By the id of the budget; of all that are concerned."""
    promised: Counter[str] = field(default_factory=Counter)

    def binding(
        self, job: DueJob, deployment: Deployment, hold_nano: int, *, downgraded: bool = False
    ) -> Budget | None:
        """The first budget that has no room for such a call; None: it fits.

        What is not `downgraded` may use a budget's part below its `downgrade_at` only.
        """
        for budget in self.book.concerning(job, deployment):
            kept = 0 if downgraded else budget.kept_nano
            if hold_nano > self._left(budget) - kept:
                return budget
        return None

    def never(self, budget: Budget, hold_nano: int) -> bool:
        """Such a call does not fit in this window even if all that is held comes back."""
        window = self.windows[budget.id]
        return window.spent_nano + hold_nano > window.cap_nano

    def spent(self, budget: Budget) -> int:
        """In its window, nano-USD."""
        return self.windows[budget.id].spent_nano

    def promise(self, job: DueJob, deployment: Deployment, hold_nano: int) -> list[int]:
        """Count a call that is about to be released; the ids of its windows."""
        windows = []
        for budget in self.book.concerning(job, deployment):
            self.promised[budget.id] += hold_nano
            windows.append(self.windows[budget.id].id)
        return windows

    @property
    def empty(self) -> frozenset[Payer]:
        """Whose jobs can start nothing now and only wait, whoever would answer."""
        return frozenset(
            payer
            for payer, budgets in self.concerned.items()
            if payer.scope not in BY_CALL and any(map(self._is_empty, budgets))
        )

    def _is_empty(self, budget: Budget) -> bool:
        return self._left(budget) <= 0 and not (
            budget.at_limit is AtLimit.REJECT and self.never(budget, 1)
        )

    def _left(self, budget: Budget) -> int:
        return self.windows[budget.id].left_nano - self.promised[budget.id]


class Budgets:
    """Every budget, as of the list that this process read last; a release by an older one fails.

    Where there is none nothing is asked and nothing is locked. Where there are many only the
    windows of those are read that the jobs at hand count in.
    """

    def __init__(self) -> None:
        self._book = Book()
        self._of_calls: dict[str | None, set[Payer]] = {}
        """What counts calls by who answers them, by tenant."""

    @property
    def version(self) -> int | None:
        """Of the list: what a release has to name; None: it was not read yet."""
        return self._book.version

    async def look(self, connection: AsyncConnection) -> None:
        """Read the list if it is another one by now."""
        if self.version == await read_version(connection):
            return
        self._book, self._of_calls = Book.of(await read_budgets(connection)), {}
        for payer in self._book.budgets:
            if payer.scope in BY_CALL:
                self._of_calls.setdefault(payer.tenant_id, set()).add(payer)

    async def still_empty(
        self, connection: AsyncConnection, payers: Collection[Payer]
    ) -> frozenset[Payer]:
        """Those of the payers that still have nothing left."""
        return (await self._purse(connection, payers)).empty.intersection(payers)

    async def purse(self, connection: AsyncConnection, jobs: Iterable[DueJob]) -> Purse:
        """What is left for these jobs at this moment; others may take it meanwhile."""
        if self.version is None:
            await self.look(connection)
        if not self._book.budgets:
            return Purse()
        named = {payer for job in jobs for payer in payers_of(job)}
        # A job's policy may name any deployment: whatever counts calls of its tenant concerns it.
        for owner in {payer.tenant_id for payer in named}:
            named |= self._of_calls.get(owner, set())
        return await self._purse(connection, named)

    async def _purse(self, connection: AsyncConnection, payers: Collection[Payer]) -> Purse:
        known = self._book.budgets
        concerned = {payer: known[payer] for payer in payers if payer in known}
        ids = {budget.id for budgets in concerned.values() for budget in budgets}
        windows = await read_windows(connection, ids) if ids else {}
        return Purse(self._book, concerned, windows)

    async def within(
        self,
        connection: AsyncConnection,
        permits: Sequence[Permit],
        jobs: Mapping[str, DueJob],
        deployment: Deployment,
    ) -> list[Permit]:
        """Those that fit, with their windows, which nobody else touches in this transaction."""
        purse, book = Purse(self._book), self._book
        concerned = {b.id for p in permits for b in book.concerning(jobs[p.job_id], deployment)}
        if not concerned:
            return list(permits)
        purse.windows = await read_windows(connection, concerned, lock=True)
        fitting = []
        for permit in permits:
            job, amount = jobs[permit.job_id], permit.hold_nano
            # Whether the dearer or the cheaper route goes was chosen before: the cap is the cap.
            if purse.binding(job, deployment, amount, downgraded=True) is None:
                windows = tuple(purse.promise(job, deployment, amount))
                fitting.append(replace(permit, windows=windows))
        return fitting

    async def hold(self, connection: AsyncConnection, permits: Sequence[Permit]) -> None:
        """Hold what was minted, in the transaction of `within`. Raises OverBudgetError."""
        amounts: Counter[int] = Counter()
        for permit in permits:
            for window in permit.windows:
                amounts[window] += permit.hold_nano
        await hold(connection, amounts)
