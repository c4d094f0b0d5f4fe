"""Which call of a waiting job its budgets have room for, and what is told where they have none."""

from collections.abc import Sequence

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from api.admission.budgets import Claim, Short, rooms_for
from api.deps import Parts
from api.jobs.schemas import Cost
from shared.catalog.deployments import Deployment
from shared.db.explain import Place
from shared.db.reach import Reach
from shared.domain.budget import AtLimit
from shared.domain.clock import SystemClock


class BudgetWait(BaseModel):
    """The budget that has no room for a job; amounts of the window of this moment."""

    name: str | None
    """None of a budget over all tenants, as the amounts are: others spent them, too."""
    at_limit: AtLimit
    """reject: it waits only while what is held may come back."""
    needed: Cost
    """What its cheapest call may cost."""
    cap: Cost | None = None
    spent: Cost | None = None
    held: Cost | None = None
    left: Cost | None = None
    """Below zero where calls cost more than was held for them."""

    @classmethod
    def of(cls, short: Short) -> "BudgetWait":
        """As far as a tenant may see it."""
        budget, window = short.budget, short.window
        wait = cls(name=None, at_limit=budget.at_limit, needed=Cost.of(short.needed_nano))
        if budget.payer.tenant_id is not None:
            wait.name = budget.name
            wait.cap, wait.left = Cost.of(window.cap_nano), Cost.of(window.left_nano)
            wait.spent, wait.held = Cost.of(window.spent_nano), Cost.of(window.held_nano)
        return wait


async def payable(
    connection: AsyncConnection,
    parts: Parts,
    place: Place,
    reach: Reach,
    chosen: Sequence[Deployment],
) -> Sequence[Deployment] | Short:
    """Whose call budgets have room for, as the dispatcher looks at it; or the first without."""
    book = await parts.budgets.of_now(connection)
    if not book.budgets:
        return chosen
    cheaper = place.policy.downgrades if place.policy else ()
    claims = [Claim(place, [each]) for each in chosen]
    downgraded = [
        Claim(place, [each])
        for each in filter(None, map(parts.catalog.known, cheaper))
        if reach.open(each.provider)
    ]
    rooms = await rooms_for(connection, book, [*claims, *downgraded], SystemClock().now())
    within = [each for each, claim in zip(chosen, claims, strict=True) if not rooms.now(claim)]
    short = rooms.now(Claim(place, chosen))
    if within or short is None:
        return within
    if short.budget.at_limit is AtLimit.DOWNGRADE:
        within = [
            claim.deployments[0] for claim in downgraded if not rooms.now(claim, downgraded=True)
        ]
    return within or short
