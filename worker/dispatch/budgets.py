"""Budgets at a release: who is still within them, and what is held in the same transaction."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment
from shared.db.budgets import Window, hold, read_budgets, read_version, read_windows
from shared.db.release import DueJob, Permit
from shared.domain.budget import Budget, Payer, Scope, payers_of_call, payers_of_job

BY_CALL: Final = frozenset({Scope.MODEL, Scope.PROVIDER})
"""What depends on who answers: another deployment of the same job may be within its budgets."""
ByPayer = Mapping[Payer, Sequence[Budget]]


@dataclass(slots=True)
class Purse:
    """What is left of each budget's window, less what was promised since it was read."""

    budgets: ByPayer = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)
    """By the id of the budget."""
    promised: Counter[str] = field(default_factory=Counter)

    def of(self, job: DueJob, deployment: Deployment) -> Iterator[Budget]:
        """The budgets that a call of the job there counts in; a rehearsal costs nobody money."""
        if not self.budgets or deployment.provider.rehearsal:
            return
        for payer in (*_payers(job), *_of_call(job, deployment)):
            yield from self.budgets.get(payer, ())

    def binding(
        self, job: DueJob, deployment: Deployment, hold_nano: int, *, downgraded: bool = False
    ) -> Budget | None:
        """The first budget that has no room for such a call; None: it fits.

        What is not `downgraded` may use a budget's part below its `downgrade_at` only.
        """
        for budget in self.of(job, deployment):
            kept = 0 if downgraded else budget.kept_nano
            if hold_nano > self._left(budget) - kept:
                return budget
        return None

    def never(self, budget: Budget, hold_nano: int) -> bool:
        """Such a call does not fit in this window even if all that is held comes back."""
        window = self.windows[budget.id]
        return window.spent_nano + hold_nano > window.cap_nano

    def promise(self, job: DueJob, deployment: Deployment, hold_nano: int) -> list[int]:
        """Count a call that is about to be released; the ids of its windows."""
        windows = []
        for budget in self.of(job, deployment):
            self.promised[budget.id] += hold_nano
            windows.append(self.windows[budget.id].id)
        return windows

    @property
    def empty(self) -> frozenset[Payer]:
        """Whose jobs can start nothing, whoever would answer."""
        return frozenset(
            payer
            for payer, budgets in self.budgets.items()
            if payer.scope not in BY_CALL
            and any(budget.id in self.windows and self._left(budget) <= 0 for budget in budgets)
        )

    def _left(self, budget: Budget) -> int:
        return self.windows[budget.id].left_nano - self.promised[budget.id]


class Budgets:
    """Every budget, as of the list that this process read last; a release by an older one fails.

    Where there is none nothing is asked and nothing is locked. Where there are many only the
    windows of those are read that the jobs at hand count in.
    """

    def __init__(self) -> None:
        self.version: int | None = None
        """Of the list: what a release has to name; None: it was not read yet."""
        self._by_payer: dict[Payer, list[Budget]] = {}
        self._of_calls: dict[str | None, set[Payer]] = {}
        """What counts calls by who answers them, by tenant."""

    async def look(self, connection: AsyncConnection) -> None:
        """Read the list if it is another one by now."""
        if self.version == await read_version(connection):
            return
        listed = await read_budgets(connection)
        self._by_payer, self._of_calls = {}, {}
        for budget in listed.budgets:
            self._by_payer.setdefault(budget.payer, []).append(budget)
            if budget.payer.scope in BY_CALL:
                self._of_calls.setdefault(budget.payer.tenant_id, set()).add(budget.payer)
        self.version = listed.version

    async def still_empty(
        self, connection: AsyncConnection, payers: Collection[Payer]
    ) -> frozenset[Payer]:
        """Those of the payers that still have nothing left."""
        return (await self._purse(connection, payers)).empty.intersection(payers)

    async def purse(self, connection: AsyncConnection, jobs: Iterable[DueJob]) -> Purse:
        """What is left for these jobs at this moment; others may take it meanwhile."""
        if self.version is None:
            await self.look(connection)
        if not self._by_payer:
            return Purse()
        named = {payer for job in jobs for payer in _payers(job)}
        # A job's policy may name any deployment: whatever counts calls of its tenant concerns it.
        for owner in {payer.tenant_id for payer in named}:
            named |= self._of_calls.get(owner, set())
        return await self._purse(connection, named)

    async def _purse(self, connection: AsyncConnection, payers: Collection[Payer]) -> Purse:
        concerned = {payer: self._by_payer[payer] for payer in payers if payer in self._by_payer}
        ids = {budget.id for budgets in concerned.values() for budget in budgets}
        return Purse(concerned, await read_windows(connection, ids) if ids else {})

    async def within(
        self,
        connection: AsyncConnection,
        permits: Sequence[Permit],
        jobs: Mapping[str, DueJob],
        deployment: Deployment,
    ) -> list[Permit]:
        """Those that fit, with their windows, which nobody else touches in this transaction."""
        purse = Purse(self._by_payer)
        concerned = {b.id for p in permits for b in purse.of(jobs[p.job_id], deployment)}
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


def _payers(job: DueJob) -> Iterator[Payer]:
    return payers_of_job(
        job.tenant_id, key_id=job.key_id, project=job.project, batch=job.batch, tags=job.tags
    )


def _of_call(job: DueJob, deployment: Deployment) -> Iterator[Payer]:
    return payers_of_call(job.tenant_id, model=deployment.model.id, provider=deployment.provider.id)
