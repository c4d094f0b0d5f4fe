"""What a budget is: whose money, for what, how much in which window, and what then."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.domain.money import show_usd


class Scope(StrEnum):
    """What of its tenant's calls, or of everybody's, a budget counts."""

    ALL = "all"
    KEY = "key"
    PROJECT = "project"
    TAG = "tag"
    BATCH = "batch"
    MODEL = "model"
    PROVIDER = "provider"


HOUSE_SCOPES: Final = frozenset({Scope.ALL, Scope.MODEL, Scope.PROVIDER})
"""What a budget over all tenants may count: the other words are each tenant's own."""


class Every(StrEnum):
    """How long a window is; each begins where the calendar of the budget's time zone says."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    TOTAL = "total"
    """One window that never ends."""


class AtLimit(StrEnum):
    """What becomes of a job that its budget has no room for."""

    REJECT = "reject"
    """It is refused when it is submitted, and fails if it waits already."""
    PARK = "park"
    """It waits until the window turns or the cap is raised."""
    DOWNGRADE = "downgrade"
    """A cheaper route takes it; at the cap itself it waits."""


EVERYBODY: Final = "*"
"""Stands for all tenants in words."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Whom and what a call is counted for."""

    tenant_id: str | None
    """None: everybody."""
    scope: Scope
    subject: str = ""
    """The key's id, the name of the project, tag, batch, model or provider; empty: of all."""

    def __str__(self) -> str:
        """As the peek of the dispatcher compares it."""
        return f"{self.tenant_id or EVERYBODY} {self.scope} {self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """As its row says."""

    id: str
    name: str
    payer: Payer
    cap_nano: int
    every: Every
    time_zone: str
    """An IANA name."""
    at_limit: AtLimit
    downgrade_at: int | None = None
    """Percent of the cap from which the cheaper route is taken."""
    downgrade_to: str | None = None
    """A model, alias or route."""
    alerts: tuple[int, ...] = ()
    """Percent of the cap; each is told once a window."""

    @property
    def in_words(self) -> str:
        """Its cap and window: `$5.00 a month`."""
        length = "in all" if self.every is Every.TOTAL else f"a {self.every}"
        return f"{show_usd(self.cap_nano)} {length}"

    def no_room(self, spent_nano: int, needed_nano: int) -> str:
        """Why a call fits no more; of a budget over all tenants no amount: others spent it."""
        needed = f"a call that may cost {show_usd(needed_nano)}"
        if self.payer.tenant_id is None:
            return f"a budget of this installation over all tenants has no room for {needed}"
        spent = show_usd(spent_nano)
        return (
            f"budget {self.name!r} of {self.in_words} has no room for {needed}: {spent} are spent"
        )

    @property
    def kept_nano(self) -> int:
        """The part of the cap that only the cheaper route may use."""
        if self.at_limit is not AtLimit.DOWNGRADE or self.downgrade_at is None:
            return 0
        return self.cap_nano * (100 - self.downgrade_at) // 100


def payers_of_job(
    tenant_id: str,
    *,
    key_id: str | None,
    project: str | None,
    batch: str | None,
    tags: Sequence[str],
) -> Iterator[Payer]:
    """Whom a job is counted for, whoever answers it."""
    yield Payer(None, Scope.ALL)
    yield Payer(tenant_id, Scope.ALL)
    named = ((Scope.KEY, key_id), (Scope.PROJECT, project), (Scope.BATCH, batch))
    for scope, subject in (*named, *((Scope.TAG, tag) for tag in tags)):
        if subject is not None:
            yield Payer(tenant_id, scope, subject)


def payers_of_call(tenant_id: str, *, model: str, provider: str) -> Iterator[Payer]:
    """Whom a call is counted for besides, by who answers it."""
    for owner in (None, tenant_id):
        yield Payer(owner, Scope.MODEL, model)
        yield Payer(owner, Scope.PROVIDER, provider)
