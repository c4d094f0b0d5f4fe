"""Alerts of budgets that somebody has still to be told of: one teller at a time has each."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.budgets import COLUMNS, budget_of
from shared.domain.budget import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A share of its cap that a budget has passed in one window; amounts of that moment."""

    window_id: int
    percent: int
    budget: Budget
    cap_nano: int
    spent_nano: int
    at: datetime
    starts_at: datetime | None
    """When the window began; None: it is the one of all time."""
    ends_at: datetime | None
    told: frozenset[str]
    """Who has heard of it."""
    tries: int
    """How often it was told, this time included."""
    age: float
    """Seconds."""

    @property
    def id(self) -> str:
        """The same each time that it is told."""
        return f"alr_{self.window_id}_{self.percent}"


# A teller that dies is followed by another when its time is up.
CLAIM = text(f"""
WITH due AS (
    SELECT window_id, percent FROM budget_alerts
    WHERE told_at IS NULL AND next_at <= now() ORDER BY next_at LIMIT :limit
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE budget_alerts SET tries = tries + 1,
        next_at = clock_timestamp() + make_interval(secs => :seconds)
    FROM due
    WHERE budget_alerts.window_id = due.window_id AND budget_alerts.percent = due.percent
      AND told_at IS NULL
    RETURNING budget_alerts.window_id, budget_alerts.percent, cap_nano AS cap_then,
        spent_nano AS spent_then, at, tries, told
)
SELECT window_id, percent, cap_then, spent_then, at, tries, told,
       extract(epoch FROM clock_timestamp() - at)::float8 AS age,
       nullif(starts_at, '-infinity') AS starts_at, nullif(ends_at, 'infinity') AS ends_at,
       {COLUMNS}
FROM claimed JOIN budget_windows ON budget_windows.id = window_id
JOIN budgets ON budgets.id = budget_id
ORDER BY at, percent
""")

# Only by who has it still: after its time it may be somebody else's.
TELL = text("""
UPDATE budget_alerts SET told = CAST(:told AS text[]),
    told_at = CASE WHEN CAST(:again_in AS float8) IS NULL THEN clock_timestamp() END,
    next_at = clock_timestamp() + make_interval(secs => coalesce(CAST(:again_in AS float8), 0))
WHERE window_id = :window_id AND percent = :percent AND tries = :tries AND told_at IS NULL
""")

GIVE_UP = text("""
UPDATE budget_alerts SET next_at = NULL
WHERE window_id = :window_id AND percent = :percent AND tries = :tries AND told_at IS NULL
""")


async def claim_alerts(connection: AsyncConnection, *, seconds: float, limit: int) -> list[Alert]:
    """The oldest that are due, for so long nobody else's."""
    rows = await connection.execute(CLAIM, {"seconds": seconds, "limit": limit})
    return [
        Alert(
            window_id=row.window_id,
            percent=row.percent,
            budget=budget_of(row),
            cap_nano=row.cap_then,
            spent_nano=row.spent_then,
            at=row.at,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            told=frozenset(row.told),
            tries=row.tries,
            age=row.age,
        )
        for row in rows
    ]


async def record_telling(
    connection: AsyncConnection, alert: Alert, told: Collection[str], *, again_in: float | None
) -> None:
    """Who has heard of it by now; seconds until the others are told again, None: all have."""
    asked = {
        "window_id": alert.window_id, "percent": alert.percent, "tries": alert.tries,
        "told": sorted(told), "again_in": again_in,
    }  # fmt: skip
    await connection.execute(TELL, asked)


async def give_up_alert(connection: AsyncConnection, alert: Alert) -> None:
    """Nobody tells it again; it stays untold."""
    asked = {"window_id": alert.window_id, "percent": alert.percent, "tries": alert.tries}
    await connection.execute(GIVE_UP, asked)
