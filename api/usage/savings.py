"""What a tenant's answered calls would have cost elsewhere, and what caches save."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from api.jobs.schemas import Cost, Moment
from shared.catalog.deployments import Catalog, Deployment
from shared.catalog.savings import Used, cacheable, cheapest
from shared.db.reach import Reach
from shared.db.usage import Span
from shared.domain.attempt import AttemptState
from shared.domain.usage import Dimension

GROUP_BY: Final = (Dimension.PROVIDER, Dimension.MODEL)
ANSWERED: Final = {Dimension.OUTCOME: [AttemptState.ANSWERED.value]}
ASSUMPTIONS: Final = """\
Only answered calls are compared; `cost` is what they were charged.
Elsewhere as many tokens are taken: other models count differently and answer at other lengths.
Elsewhere today's list prices are taken: of short inputs, without searches and cache writes.
`same_model` is the cheapest other provider of the same model that can be called.
`other_model` is the cheapest deployment that answered other calls of the time; maybe not as well.
`caching.saved` is what cached input would have cost more, by the price kept with each call.
`caching.at_most` is what would be saved besides if a cache had held all other input, too.
"""


class Alternative(BaseModel):
    """Another deployment for the same calls."""

    deployment: str
    cost: Cost
    saves: Cost


class Caching(BaseModel):
    """What caches of the providers do."""

    saved: Cost
    at_most: Cost


class SavingsRow(BaseModel):
    """The answered calls of one deployment."""

    deployment: str
    calls: int
    cost: Cost
    same_model: Alternative | None
    other_model: Alternative | None
    """None: nothing is cheaper."""
    caching: Caching


class SavingsRead(BaseModel):
    """What could have been saved, the dearest calls first."""

    object: Literal["usage.savings"] = "usage.savings"
    from_: Moment = Field(serialization_alias="from")
    to: Moment
    cost: Cost
    same_model: Cost
    """The sum of what it saves; so are the two below."""
    other_model: Cost
    caching: Caching
    data: list[SavingsRow]
    assumptions: list[str]


def savings_of(
    rows: Iterable[Any], span: Span, catalog: Catalog, reach: Reach, at: datetime
) -> SavingsRead:
    """From the sums by GROUP_BY of the calls that ANSWERED chooses, at the prices of `at`."""
    used = {f"{row.group_0}/{row.group_1}": row for row in rows}
    answering = [each for name in used if (each := catalog.known(name))]
    market = Market(catalog, reach, answering, at)
    data = [market.row(name, row) for name, row in used.items()]
    data.sort(key=lambda each: -each.cost.nano_usd)
    return SavingsRead(
        from_=span.start,
        to=span.end,
        cost=_sum(each.cost for each in data),
        same_model=_sum(each.same_model.saves for each in data if each.same_model),
        other_model=_sum(each.other_model.saves for each in data if each.other_model),
        caching=Caching(
            saved=_sum(each.caching.saved for each in data),
            at_most=_sum(each.caching.at_most for each in data),
        ),
        data=data,
        assumptions=ASSUMPTIONS.splitlines(),
    )


@dataclass(frozen=True, slots=True)
class Market:
    """Who could have been called instead."""

    catalog: Catalog
    reach: Reach
    answering: Sequence[Deployment]
    """Those that answered the tenant's calls of the time."""
    at: datetime

    def row(self, name: str, row: Any) -> SavingsRow:
        """One deployment's calls, and what is cheaper."""
        used = Used(row.input_tokens, row.cached_tokens, row.output_tokens)
        known = self.catalog.known(name)
        same = self.catalog.plan(known.model.id) if known else ()
        other = [
            each for each in self.answering
            if known and each.model.id != known.model.id and each.model.kind is known.model.kind
        ]  # fmt: skip
        return SavingsRow(
            deployment=name,
            calls=row.calls,
            cost=Cost.of(row.cost_nano),
            same_model=self._cheaper(same, used, name, row.cost_nano),
            other_model=self._cheaper(other, used, name, row.cost_nano),
            caching=Caching(
                saved=Cost.of(row.saved_nano),
                at_most=Cost.of(cacheable(known, used, self.at) if known else 0),
            ),
        )

    def _cheaper(
        self, candidates: Iterable[Deployment], used: Used, name: str, cost_nano: int
    ) -> Alternative | None:
        others = (each for each in candidates if each.id != name and self._callable(each))
        best = cheapest(others, used, self.at)
        if best is None or best.cost_nano >= cost_nano:
            return None
        return Alternative(
            deployment=best.deployment.id,
            cost=Cost.of(best.cost_nano),
            saves=Cost.of(cost_nano - best.cost_nano),
        )

    def _callable(self, deployment: Deployment) -> bool:
        """It is switched on, and no worker has said that all lack its key."""
        provider = deployment.provider
        off = provider.id in self.reach.off or self.reach.ready(provider) is False
        return not (off or provider.rehearsal)


def _sum(costs: Iterable[Cost]) -> Cost:
    return Cost.of(sum(each.nano_usd for each in costs))
