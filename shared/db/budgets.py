"""Budgets as their rows: who has one, what is left of its window, and what is held of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.budget import AtLimit, Budget, Every, Payer, Scope


@dataclass(frozen=True, slots=True)
class Listed:
    """Every budget there is, and which list that was."""

    version: int
    budgets: Sequence[Budget] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """What a budget's window has seen so far; nano-USD."""

    id: int
    budget_id: str
    cap_nano: int
    spent_nano: int
    held_nano: int

    @property
    def left_nano(self) -> int:
        """What may still be held; below zero where calls cost more than their holds."""
        return self.cap_nano - self.spent_nano - self.held_nano


VERSION: Final = "(SELECT version FROM budgets_version)"
COLUMNS: Final = """budgets.id, budgets.tenant_id, budgets.name, scope, subject, cap_nano, every,
time_zone, at_limit, downgrade_at, downgrade_to, alerts"""
BUDGETS = text(f"SELECT {COLUMNS} FROM budgets WHERE archived_at IS NULL ORDER BY id")
READ_VERSION = text(f"SELECT {VERSION}")

# date_trunc of three keeps apart the two hours of one name when clocks are set back.
STARTS_AT: Final = """
CASE every WHEN 'total' THEN timestamptz '-infinity'
     ELSE date_trunc(every, now(), time_zone) END
"""
ENDS_AT: Final = """
CASE WHEN every = 'total' THEN timestamptz 'infinity'
     WHEN every IN ('minute', 'hour') THEN starts_at + ('1 ' || every)::interval
     ELSE (starts_at AT TIME ZONE time_zone
           + CASE every WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || every)::interval END
          ) AT TIME ZONE time_zone END
"""
CURRENT: Final = f"""
WITH wanted AS (
    SELECT id, cap_nano, every, time_zone, {STARTS_AT} AS starts_at
    FROM budgets WHERE id = ANY(CAST(:budget_ids AS text[]))
)"""
READ_WINDOWS: Final = f"""
{CURRENT}
SELECT budget_windows.id, budget_id, cap_nano, spent_nano, held_nano
FROM budget_windows JOIN wanted
    ON wanted.id = budget_windows.budget_id AND wanted.starts_at = budget_windows.starts_at
ORDER BY budget_windows.id
"""
WINDOWS = text(READ_WINDOWS)
# Whoever changes a cap locks the windows first, too: what is read here holds until the commit.
LOCK_WINDOWS = text(f"{READ_WINDOWS} FOR NO KEY UPDATE OF budget_windows")
OPEN_WINDOWS = text(f"""
{CURRENT}
INSERT INTO budget_windows (budget_id, starts_at, ends_at)
SELECT id, starts_at, {ENDS_AT} FROM wanted
ON CONFLICT DO NOTHING
""")

# The guard is the promise: what does not fit is not held, whoever got here and why.
HOLD = text("""
UPDATE budget_windows SET held_nano = held_nano + asked.hold_nano
FROM unnest(CAST(:window_ids AS bigint[]), CAST(:holds AS bigint[])) AS asked(id, hold_nano),
     budgets
WHERE budget_windows.id = asked.id AND budgets.id = budget_windows.budget_id
  AND spent_nano + held_nano + asked.hold_nano <= cap_nano
RETURNING budget_windows.id
""")


class OverBudgetError(RuntimeError):
    """A hold that was found to fit did not: a fault of ours; nothing is released."""


def budget_of(row: Any) -> Budget:
    """From a row with COLUMNS."""
    return Budget(
        id=row.id,
        name=row.name,
        payer=Payer(row.tenant_id, Scope(row.scope), row.subject),
        cap_nano=row.cap_nano,
        every=Every(row.every),
        time_zone=row.time_zone,
        at_limit=AtLimit(row.at_limit),
        downgrade_at=row.downgrade_at,
        downgrade_to=row.downgrade_to,
        alerts=tuple(row.alerts),
    )


async def read_version(connection: AsyncConnection) -> int:
    """Which list of budgets holds now."""
    return int((await connection.execute(READ_VERSION)).scalar_one())


async def read_budgets(connection: AsyncConnection) -> Listed:
    """All budgets; if one is made meanwhile the version is the older one."""
    version = await read_version(connection)
    return Listed(version, [budget_of(row) for row in await connection.execute(BUDGETS)])


async def read_windows(
    connection: AsyncConnection, budget_ids: Collection[str], *, lock: bool = False
) -> dict[str, Window]:
    """The window of this moment of each of these budgets, by its budget; made where absent.

    With `lock` nobody else holds or books any of it before this transaction ends.
    """
    asked = {"budget_ids": list(budget_ids)}
    read = LOCK_WINDOWS if lock else WINDOWS
    rows = (await connection.execute(read, asked)).all()
    if len(rows) < len(asked["budget_ids"]):
        await connection.execute(OPEN_WINDOWS, asked)
        rows = (await connection.execute(read, asked)).all()
    return {row.budget_id: Window(*row) for row in rows}


async def hold(connection: AsyncConnection, amounts: Mapping[int, int]) -> None:
    """Hold so much, nano-USD, of each window; they are locked by this transaction.

    Raises OverBudgetError, and nothing may be committed, if one has no room for it.
    """
    if not amounts:
        return
    asked = {"window_ids": list(amounts), "holds": list(amounts.values())}
    held = set((await connection.execute(HOLD, asked)).scalars())
    if short := amounts.keys() - held:
        raise OverBudgetError(f"windows {sorted(short)} have no room for what was released")
