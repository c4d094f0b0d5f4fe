"""Whether budgets leave a job's call any room: at the door, and while it waits."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment
from shared.db.book import Book, Counted
from shared.db.budgets import Window, read_windows
from shared.db.explain import ends_at
from shared.domain.budget import AtLimit, Budget
from shared.domain.clock import SystemClock
from shared.domain.errors import BudgetExceededError
from shared.domain.money import show_usd
from shared.routing.costs import most_cost


class Sized(Counted, Protocol):
    """A job whose call can be priced."""

    def input_at(self, deployment: str) -> int:
        """The input tokens of its call there, at the most."""

    @property
    def max_tokens(self) -> int:
        """Of output."""

    @property
    def web_search(self) -> bool:
        """The model may search the web."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that wants room, and whoever may take it."""

    job: Sized
    deployments: Sequence[Deployment]
    line: int | None = None
    """Of a bulk body."""


@dataclass(frozen=True, slots=True)
class Short:
    """A budget without room for a call."""

    budget: Budget
    window: Window
    needed_nano: int
    """The most that the call may cost."""


Lacks = Callable[[Budget, Window, int], bool]
"""Whether a budget has no room in its window for a call of this cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What is left of the budgets at one moment."""

    book: Book
    at: datetime
    """When calls are priced."""
    windows: dict[str, Window] = field(default_factory=dict)
    """By the id of the budget."""
    # The jobs of a bulk are much alike: what was asked for is kept.
    costs: dict[tuple[str, int, int, bool], int | None] = field(default_factory=dict)
    concerned: dict[tuple[object, ...], list[Budget]] = field(default_factory=dict)

    def never(self, claim: Claim) -> Short | None:
        """Of the cheapest call who rejects it, whatever comes back of what is held.

        None: some call fits, or nobody knows what it may cost.
        """
        return self._none_fits(claim, _spent_up)

    def now(self, claim: Claim, *, downgraded: bool = False) -> Short | None:
        """Of the cheapest call who has no room for it now, as the dispatcher looks at it.

        `downgraded`: by the cheaper route, which may use a budget up to its cap.
        """
        return self._none_fits(claim, _at_cap if downgraded else _full)

    def _none_fits(self, claim: Claim, lacks: Lacks) -> Short | None:
        found = []
        for each in claim.deployments:
            short = self._short(claim.job, each, lacks)
            if short is None:
                return None
            found.append(short)
        return min(found, key=lambda short: short.needed_nano, default=None)

    def _short(self, job: Sized, deployment: Deployment, lacks: Lacks) -> Short | None:
        cost = self._cost(job, deployment)
        if cost is None:
            return None
        for budget in self.concerning(job, deployment):
            window = self.windows[budget.id]
            if lacks(budget, window, cost):
                return Short(budget, window, cost)
        return None

    def concerning(self, job: Counted, deployment: Deployment) -> list[Budget]:
        """The budgets that such a call counts in."""
        words = (job.project, job.batch, job.tags and tuple(job.tags))
        asked = (deployment.id, job.tenant_id, job.key_id, *words)
        if asked not in self.concerned:
            self.concerned[asked] = self.book.concerning(job, deployment)
        return self.concerned[asked]

    def _cost(self, job: Sized, deployment: Deployment) -> int | None:
        asked = (deployment.id, job.input_at(deployment.id), job.max_tokens, job.web_search)
        if asked not in self.costs:
            self.costs[asked] = most_cost(
                deployment,
                input_tokens=job.input_at(deployment.id),
                max_tokens=job.max_tokens,
                searching=job.web_search,
                at=self.at,
            )
        return self.costs[asked]


async def rooms_for(
    connection: AsyncConnection, book: Book, claims: Iterable[Claim], at: datetime
) -> Rooms:
    """What is left of the budgets that these jobs count in."""
    rooms = Rooms(book=book, at=at)
    ids = {
        budget.id
        for claim in claims
        for each in claim.deployments
        for budget in rooms.concerning(claim.job, each)
    }
    if ids:
        rooms.windows.update(await read_windows(connection, ids))
    return rooms


async def require_room(connection: AsyncConnection, book: Book, claims: Sequence[Claim]) -> None:
    """Raises BudgetExceededError for the first job whose cheapest call can fit no more."""
    if not book.budgets:
        return
    rooms = await rooms_for(connection, book, claims, SystemClock().now())
    if refusal := await refusal_of(connection, rooms, claims):
        raise refusal


async def refusal_of(
    connection: AsyncConnection, rooms: Rooms, claims: Iterable[Claim]
) -> BudgetExceededError | None:
    """What the first job whose cheapest call can fit no more is refused with."""
    for claim in claims:
        if short := rooms.never(claim):
            where = "" if claim.line is None else f"line {claim.line}: "
            said = where + told(short, await ends_at(connection, short.window.id))
            return BudgetExceededError(said, line=claim.line)
    return None


def told(short: Short, until: datetime | None) -> str:
    """Why there is no room, in a sentence that tells a tenant nothing of a budget over all tenants.

    `until`: when its window turns; None: never.
    """
    budget, window = short.budget, short.window
    needed = f"the cheapest call of this job may cost {show_usd(short.needed_nano)}"
    turns = _way_out(short, until)
    if budget.payer.tenant_id is None:
        return (
            f"a budget of this installation over all tenants has no room: {needed}; {turns}, or "
            "have its operator raise the cap"
        )
    kept = budget.kept_nano
    rest = f", {show_usd(kept)} are kept for {budget.downgrade_to}" if kept else ""
    return (
        f"budget {budget.name!r} of {budget.in_words} has no room: {show_usd(window.spent_nano)} "
        f"are spent and {show_usd(window.held_nano)} held{rest}, and {needed}; {turns}, or raise "
        "its cap"
    )


def _way_out(short: Short, until: datetime | None) -> str:
    if short.needed_nano > short.budget.cap_nano - short.budget.kept_nano:
        return "that fits in none of its windows: lower max_tokens"
    return f"it resets at {_rfc3339(until)}" if until else "it never resets"


def _spent_up(budget: Budget, window: Window, cost: int) -> bool:
    return budget.at_limit is AtLimit.REJECT and window.spent_nano + cost > window.cap_nano


def _full(budget: Budget, window: Window, cost: int) -> bool:
    return cost > window.left_nano - budget.kept_nano


def _at_cap(_: Budget, window: Window, cost: int) -> bool:
    return cost > window.left_nano


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
