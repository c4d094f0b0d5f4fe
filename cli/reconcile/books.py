"""Our books beside a provider's: what differs, and unknown bills that its totals make known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from cli.reconcile.bill import Group, parts
from shared.db.corrections import Correction, Spent, correct, read_spent
from shared.db.engine import Database
from shared.domain.money import show_usd

HEADER: Final = ("DAY", "PROVIDER", "MODEL", "THEIRS", "OURS", "DIFFERENCE", "UNKNOWN", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One day of one model at one provider."""

    group: Group
    theirs_nano: int | None
    """None: the file says nothing of it."""
    spent: Spent
    corrected: int = 0
    """Attempts whose bill was made known."""
    left_because: str | None = None
    """Why unknown bills were left as they are."""
    flagged_nano: int
    """What is charged for the bills that nobody knew."""

    @property
    def ours_nano(self) -> int:
        """What we booked, corrections with it."""
        return self.spent.known_nano + self.flagged_nano

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        theirs = self.theirs_nano
        return {
            "day": self.group.day.isoformat(),
            "provider": self.group.provider,
            "model": self.group.model,
            "theirs_nano": theirs,
            "ours_nano": self.ours_nano,
            "difference_nano": None if theirs is None else self.ours_nano - theirs,
            "calls": self.spent.calls,
            "unknown": len(self.spent.flagged) - self.corrected,
            "corrected": self.corrected,
            "left_because": self.left_because,
        }

    def as_row(self) -> tuple[str, ...]:
        """For a person, in the order of HEADER."""
        told = self.as_json()
        note = f"corrected {self.corrected}" if self.corrected else self.left_because
        theirs, difference = told["theirs_nano"], told["difference_nano"]
        return (
            told["day"], told["provider"], told["model"],
            "-" if theirs is None else show_usd(theirs),
            show_usd(self.ours_nano),
            "-" if difference is None else show_usd(difference),
            str(told["unknown"]), note or "",
        )  # fmt: skip


async def compare(
    database: Database, bill: Mapping[Group, int], *, apply: bool, today: date
) -> list[Compared]:
    """Each group of the bill, and what we booked beside it on its days at its providers.

    With `apply` the unknown bills of a group get what its total leaves for them, none more than
    it is charged now: each group in a transaction of its own.
    """
    found = []
    for day in sorted({group.day for group in bill}):
        async with database.transaction() as connection:
            spent = await read_spent(connection, day)
        for group in _groups(day, bill, spent):
            ours = spent.get(f"{group.provider}/{group.model}", Spent())
            compared = Compared(
                group=group,
                theirs_nano=bill.get(group),
                spent=ours,
                flagged_nano=sum(nano for _, nano in ours.flagged),
            )
            found.append(await _applied(database, compared, today) if apply else compared)
    return found


def _groups(day: date, bill: Mapping[Group, int], spent: Mapping[str, Spent]) -> Iterator[Group]:
    """Those of the bill, and those of ours that it may have forgotten."""
    theirs = {group for group in bill if group.day == day}
    providers = {group.provider for group in theirs}
    pairs = (deployment.partition("/") for deployment in spent)
    ours = {Group(day, provider, model) for provider, _, model in pairs if provider in providers}
    yield from sorted(theirs | ours)


async def _applied(database: Database, compared: Compared, today: date) -> Compared:
    spent, theirs = compared.spent, compared.theirs_nano
    if not spent.flagged or theirs is None:
        return compared
    because = None
    if compared.group.day >= today:
        because = "the day is not over"
    elif spent.open_calls:
        because = f"{spent.open_calls} calls have not ended"
    if because:
        return replace(compared, left_because=because)
    shares = parts(theirs - spent.known_nano, [nano for _, nano in spent.flagged])
    group = compared.group
    reason = f"share of {group.provider}'s total of {group.day} for {group.model}"
    corrections = [
        Correction(attempt_id=attempt_id, cost_nano=nano, reason=reason)
        for (attempt_id, _), nano in zip(spent.flagged, shares, strict=True)
    ]
    async with database.transaction() as connection:
        done = await correct(connection, corrections)
    now = {c.attempt_id: c.cost_nano for c in corrections if c.attempt_id in done}
    costs = dict(spent.flagged) | now
    return replace(compared, corrected=len(done), flagged_nano=sum(costs.values()))
