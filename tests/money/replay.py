"""The ledger of budgets read again from its first row: what was spent and held at each hold."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.life import Life


@dataclass(frozen=True, slots=True)
class Admission:
    """One hold, and how its window stood with it."""

    budget_id: str
    at: datetime
    spent_nano: int
    held_nano: int
    cap_nano: int
    """As it was then."""

    @property
    def within(self) -> bool:
        """It fitted."""
        return self.spent_nano + self.held_nano <= self.cap_nano


ROWS = """
SELECT ledger.at, kind, ledger.spent_nano, ledger.held_nano, window_id, budget_id, cap_nano
FROM ledger, unnest(budgets) AS window_id
JOIN budget_windows ON budget_windows.id = window_id JOIN budgets ON budgets.id = budget_id
ORDER BY ledger.at, kind <> 'hold', attempt_id
"""


async def replay(
    life: Life, raised: Sequence[tuple[str, datetime, int]] = ()
) -> Iterator[Admission]:
    """Every hold in the order of the ledger; `raised`: budget, when, and its cap until then.

    A hold is written while its windows are locked, so what came back before it was counted by it,
    unless that was on its way to the ledger at the same moment: then less seems to be held here.
    """
    rows = await life.all(ROWS)
    return _admissions(rows, raised)


def _admissions(
    rows: Sequence[Any], raised: Sequence[tuple[str, datetime, int]]
) -> Iterator[Admission]:
    spent: dict[int, int] = defaultdict(int)
    held: dict[int, int] = defaultdict(int)
    for row in rows:
        spent[row.window_id] += row.spent_nano
        held[row.window_id] += row.held_nano
        if row.kind == "hold":
            caps = (cap for name, at, cap in raised if name == row.budget_id and row.at < at)
            cap = next(caps, row.cap_nano)
            yield Admission(row.budget_id, row.at, spent[row.window_id], held[row.window_id], cap)
