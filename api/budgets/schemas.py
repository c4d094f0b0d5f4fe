"""The public shapes of budgets."""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.config import JsonDict

from api.jobs.schemas import Cost, Moment
from shared.db.budget_rows import ALERTS_AT, Standing
from shared.domain.budget import AtLimit, Every, Scope

MOST_CAP_USD: Final = 1_000_000_000
"""Nano-USD of it are still far from the end of 64 bits."""
MOST_ALERTS: Final = 20
BUDGET_EXAMPLE: JsonDict = {
    "name": "research a month",
    "scope": "project",
    "subject": "research",
    "cap_usd": "200.00",
    "every": "month",
    "time_zone": "Europe/Berlin",
    "at_limit": "park",
}
CHANGE_EXAMPLE: JsonDict = {"cap_usd": "300.00"}

CapUsd = Annotated[Decimal, Field(ge=0, le=MOST_CAP_USD, decimal_places=9)]
Share = Annotated[int, Field(ge=1, le=1000)]
Shares = Annotated[tuple[Share, ...], Field(max_length=MOST_ALERTS)]
DowngradeAt = Annotated[int, Field(ge=1, le=100)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Word = Annotated[str, Field(min_length=1, max_length=200)]


def _sorted_once(shares: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(shares)))


class BudgetCreate(BaseModel):
    """A budget as it is asked for."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [BUDGET_EXAMPLE]}
    )

    name: Name
    scope: Scope = Scope.ALL
    subject: Word | None = None
    """The key's id, or the name of the project, tag, batch, model or provider."""
    house: bool = False
    """Over all tenants; for operators, and only of the scopes all, model and provider."""
    cap_usd: CapUsd
    every: Every = Every.MONTH
    time_zone: Annotated[str, Field(min_length=1, max_length=100)] = "UTC"
    """An IANA name: its calendar says when a window begins."""
    at_limit: AtLimit = AtLimit.REJECT
    downgrade_at: DowngradeAt | None = None
    """Percent of the cap from which `downgrade_to` takes the jobs; at the cap where absent."""
    downgrade_to: Word | None = None
    """A model, alias or route."""
    alerts: Shares = ALERTS_AT
    """Percent of the cap that are told, each once a window."""

    _alerts = field_validator("alerts")(_sorted_once)


class BudgetChange(BaseModel):
    """What may become another: what is not named stays."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [CHANGE_EXAMPLE]}
    )

    cap_usd: CapUsd | None = None
    at_limit: AtLimit | None = None
    downgrade_at: DowngradeAt | None = None
    downgrade_to: Word | None = None
    alerts: Shares | None = None

    _alerts = field_validator("alerts")(
        lambda shares: None if shares is None else _sorted_once(shares)
    )


class WindowRead(BaseModel):
    """What a budget's window of this moment has seen."""

    starts_at: Moment | None
    """Null: there is one window only, which never ends."""
    resets_at: Moment | None
    spent: Cost
    held: Cost
    """Of calls on their way, at the most that they can cost."""
    left: Cost
    used_percent: int
    """Of the cap, what is spent."""
    alerts: list[int]
    """Percent that were passed, in this window."""


class BudgetRead(BaseModel):
    """A budget, and how it stands."""

    object: Literal["budget"] = "budget"
    id: str
    name: str
    house: bool
    scope: Scope
    subject: str | None
    cap: Cost
    every: Every
    time_zone: str
    at_limit: AtLimit
    downgrade_at: int | None
    downgrade_to: str | None
    alerts: list[int]
    created_at: Moment
    archived_at: Moment | None
    window: WindowRead

    @classmethod
    def of(cls, standing: Standing) -> "BudgetRead":
        """As its rows say."""
        budget = standing.budget
        return cls(
            id=budget.id,
            name=budget.name,
            house=budget.payer.tenant_id is None,
            scope=budget.payer.scope,
            subject=budget.payer.subject or None,
            cap=Cost.of(budget.cap_nano),
            every=budget.every,
            time_zone=budget.time_zone,
            at_limit=budget.at_limit,
            downgrade_at=budget.downgrade_at,
            downgrade_to=budget.downgrade_to,
            alerts=list(budget.alerts),
            created_at=standing.created_at,
            archived_at=standing.archived_at,
            window=_window(standing),
        )


class BudgetList(BaseModel):
    """The living budgets, the oldest first."""

    data: list[BudgetRead]


class AlertRead(BaseModel):
    """A share of a cap that was passed."""

    window_starts_at: Moment | None
    percent: int
    spent: Cost
    """By the call that passed it."""
    cap: Cost
    at: Moment
    told_at: Moment | None
    """When the workers told it; null: not yet."""

    @classmethod
    def of(cls, row: Any) -> "AlertRead":
        """From a row of shared/db/budget_rows.py."""
        return cls(
            window_starts_at=row.window_starts_at,
            percent=row.percent,
            spent=Cost.of(row.spent_nano),
            cap=Cost.of(row.cap_nano),
            at=row.at,
            told_at=row.told_at,
        )


class AlertList(BaseModel):
    """The newest first, at most 1000."""

    data: list[AlertRead]


def _window(standing: Standing) -> WindowRead:
    cap, spent = standing.budget.cap_nano, standing.spent_nano
    return WindowRead(
        starts_at=standing.starts_at,
        resets_at=standing.resets_at,
        spent=Cost.of(spent),
        held=Cost.of(standing.held_nano),
        left=Cost.of(standing.left_nano),
        used_percent=spent * 100 // cap if cap else 100,
        alerts=list(standing.told),
    )
