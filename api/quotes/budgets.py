"""What budgets leave for the lines of a quote."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from api.admission.budgets import Claim, refusal_of, rooms_for
from api.jobs.schemas import Cost
from api.quotes.reckon import Line, Sum
from api.quotes.schemas import QuotedBudget
from shared.db.book import Book
from shared.db.budget_rows import BATCH_NAME
from shared.db.budgets import Window, read_budgets, read_windows
from shared.domain.budget import AtLimit, Budget, Every, Payer, Scope
from shared.domain.errors import BudgetExceededError


@dataclass(slots=True)
class Concerned:
    """A budget, and the lines that count in it."""

    budget: Budget
    sum: Sum = field(default_factory=Sum)

    def read(self, window: Window, share: float) -> QuotedBudget:
        """With what its window leaves for all lines, of which these are a share."""
        budget, owned = self.budget, self.budget.payer.tenant_id is not None
        return QuotedBudget(
            name=budget.name,
            scope=budget.payer.scope,
            subject=budget.payer.subject,
            every=budget.every,
            at_limit=budget.at_limit,
            of_the_house=not owned,
            cap=Cost.of(budget.cap_nano) if owned else None,
            left=Cost.of(window.left_nano) if owned else None,
            lines=self.sum.lines,
            expected=Cost.of(self.sum.expected),
            most=Cost.of(self.sum.most),
            fits=self.sum.most <= window.left_nano * share,
            expected_fits=self.sum.expected <= window.left_nano * share,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """The budgets as a submission of the lines would find them."""

    book: Book
    made: dict[str, Window]
    """The windows of those that it would make itself, by the budget's id."""


async def standing_of(connection: AsyncConnection, lines: Sequence[Line]) -> Standing:
    """As they stand now, with those of the lines' new batches."""
    listed = await read_budgets(connection)
    made = _of_new_batches(listed.budgets, lines)
    book = Book.of(replace(listed, budgets=[*listed.budgets, *made]))
    return Standing(book, {each.id: Window(0, each.id, each.cap_nano, 0, 0) for each in made})


async def budgets_of(
    connection: AsyncConnection, standing: Standing, lines: Sequence[Line], share: float
) -> list[QuotedBudget]:
    """Every budget that a line would count in if the first of its deployments answered.

    `share`: these lines of all that there are.
    """
    concerned: dict[str, Concerned] = {}
    for line in lines:
        for budget in standing.book.concerning(line.job, line.first):
            concerned.setdefault(budget.id, Concerned(budget)).sum.add(line)
    windows = await read_windows(connection, concerned.keys() - standing.made.keys())
    windows |= standing.made
    return [each.read(windows[name], share) for name, each in concerned.items()]


async def refusal_by(
    connection: AsyncConnection, standing: Standing, claims: Iterable[Claim], at: datetime
) -> BudgetExceededError | None:
    """What a submission would be refused with for want of money, as it looks at it itself."""
    if not standing.book.budgets:
        return None
    made = list(claims)
    rooms = await rooms_for(connection, standing.book, made, at)
    rooms.windows.update(standing.made)
    return await refusal_of(connection, rooms, made)


def _of_new_batches(there: Sequence[Budget], lines: Sequence[Line]) -> list[Budget]:
    """The budgets that a submission of the lines would make."""
    names = {(each.payer.tenant_id, each.name) for each in there}
    made: dict[str, Budget] = {}
    for line in lines:
        tenant_id, batch, most = line.job.tenant_id, line.job.batch, line.asked.batch_max_nano
        name = f"{BATCH_NAME}{batch}"
        if batch is None or most is None or (tenant_id, name) in names:
            continue
        made[batch] = Budget(
            id=name,
            name=name,
            payer=Payer(tenant_id, Scope.BATCH, batch),
            cap_nano=most,
            every=Every.TOTAL,
            time_zone="UTC",
            at_limit=AtLimit.REJECT,
        )
    return list(made.values())
