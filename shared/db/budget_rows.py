"""Budgets as people keep them: made, changed, archived, and how each stands in its window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.budgets import COLUMNS, ENDS_AT, STARTS_AT, budget_of, read_windows
from shared.domain.budget import AtLimit, Budget, Every, Scope
from shared.domain.ids import IdKind, new_id

MOST_ALERTS_TOLD: Final = 1000
ALERTS_AT: Final = (75, 90, 100)
"""Percent of the cap that are told where nobody says which."""
BATCH_NAME: Final = "batch:"
"""Before the label: the name of the budget that comes with a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A budget and the window of this moment."""

    budget: Budget
    created_at: datetime
    archived_at: datetime | None
    starts_at: datetime | None
    """None: the one window of all time."""
    resets_at: datetime | None
    spent_nano: int
    held_nano: int
    told: tuple[int, ...]
    """Percent that were passed in this window."""

    @property
    def left_nano(self) -> int:
        """What may still be held; nothing where more was spent than the cap."""
        return max(self.budget.cap_nano - self.spent_nano - self.held_nano, 0)


ADD = text("""
INSERT INTO budgets (id, tenant_id, name, scope, subject, cap_nano, every, time_zone, at_limit,
                     downgrade_at, downgrade_to, alerts)
VALUES (:id, :tenant_id, :name, :scope, :subject, :cap_nano, :every, :time_zone, :at_limit,
        :downgrade_at, :downgrade_to, CAST(:alerts AS int[]))
ON CONFLICT DO NOTHING RETURNING id
""")

ADD_OF_BATCHES = text("""
INSERT INTO budgets (id, tenant_id, name, scope, subject, cap_nano, every, time_zone, at_limit,
                     alerts)
SELECT id, :tenant_id, CAST(:prefix AS text) || batch, :scope, batch, cap_nano, :every, 'UTC',
       :at_limit, CAST(:alerts AS int[])
FROM unnest(CAST(:ids AS text[]), CAST(:batches AS text[]), CAST(:caps AS bigint[]))
    AS asked(id, batch, cap_nano)
ORDER BY batch
ON CONFLICT DO NOTHING RETURNING id
""").bindparams(
    prefix=BATCH_NAME, scope=Scope.BATCH, every=Every.TOTAL, at_limit=AtLimit.REJECT,
    alerts=list(ALERTS_AT),
)  # fmt: skip

CAPS_OF_NAMES = text("""
SELECT name, cap_nano FROM budgets
WHERE tenant_id = :tenant_id AND name = ANY(CAST(:names AS text[])) AND archived_at IS NULL
""")

# Whoever released by the list before finds another version and looks again.
RAISE_VERSION = text("UPDATE budgets_version SET version = version + 1")

CHANGE = text("""
UPDATE budgets SET cap_nano = :cap_nano, at_limit = :at_limit, downgrade_at = :downgrade_at,
    downgrade_to = :downgrade_to, alerts = CAST(:alerts AS int[])
WHERE id = :id AND archived_at IS NULL
""")

ARCHIVE = text("""
UPDATE budgets SET archived_at = clock_timestamp() WHERE id = :id AND archived_at IS NULL
""")

# A batch that nobody remembers gets no more jobs, and its budget would be read for ever.
ARCHIVE_OF_GONE = text("""
UPDATE budgets SET archived_at = clock_timestamp()
WHERE scope = :scope AND archived_at IS NULL AND created_at < :cutoff
  AND NOT EXISTS (SELECT FROM jobs WHERE jobs.tenant_id = budgets.tenant_id AND batch = subject)
RETURNING id
""").bindparams(scope=Scope.BATCH)

LOCK = text("SELECT id FROM budgets WHERE id = :id FOR NO KEY UPDATE")

# Of one tenant, and of the whole house for who may see it.
OWNED: Final = "(tenant_id = :tenant_id OR (:house AND tenant_id IS NULL))"


def _standings(which: str) -> str:
    """The statement that reads the budgets which a condition chooses, with their windows."""
    return f"""
WITH wanted AS (SELECT *, {STARTS_AT} AS starts_at FROM budgets WHERE {which}),
     timed AS (SELECT *, {ENDS_AT} AS ends_at FROM wanted)
SELECT {COLUMNS}, created_at, archived_at,
    nullif(budgets.starts_at, '-infinity') AS starts_at,
    nullif(budgets.ends_at, 'infinity') AS resets_at,
    coalesce(spent_nano, 0) AS spent_nano, coalesce(held_nano, 0) AS held_nano,
    ARRAY(SELECT percent FROM budget_alerts WHERE window_id = budget_windows.id ORDER BY percent)
        AS told
FROM timed AS budgets LEFT JOIN budget_windows
    ON budget_windows.budget_id = budgets.id AND budget_windows.starts_at = budgets.starts_at
ORDER BY budgets.id
"""


ALL = text(_standings(f"{OWNED} AND archived_at IS NULL"))
ONE = text(_standings(f"{OWNED} AND id = :id"))

TOLD = text("""
SELECT nullif(budget_windows.starts_at, '-infinity') AS window_starts_at, percent,
    budget_alerts.spent_nano, budget_alerts.cap_nano, at, told_at
FROM budget_alerts JOIN budget_windows ON budget_windows.id = window_id
WHERE budget_id = :id ORDER BY at DESC, percent DESC LIMIT :most
""").bindparams(most=MOST_ALERTS_TOLD)

# An exact IANA name: Postgres would take `EST` or `X+3` for a zone as well.
ZONE = text("""
SELECT EXISTS (SELECT FROM pg_timezone_names
    WHERE name = :zone AND (name LIKE '%/%' OR name = 'UTC') AND name NOT LIKE 'posix%')
""")


async def is_time_zone(connection: AsyncConnection, zone: str) -> bool:
    """Whether the database knows the time zone by this name."""
    return bool((await connection.execute(ZONE, {"zone": zone})).scalar_one())


async def create_budget(connection: AsyncConnection, budget: Budget) -> bool:
    """Write a new budget, which counts from now on; False when its owner has one of its name."""
    values = {
        "id": budget.id, "tenant_id": budget.payer.tenant_id, "name": budget.name,
        "scope": budget.payer.scope, "subject": budget.payer.subject, "every": budget.every,
        "time_zone": budget.time_zone, **_changeable(budget),
    }  # fmt: skip
    made = (await connection.execute(ADD, values)).scalar_one_or_none() is not None
    if made:
        await connection.execute(RAISE_VERSION)
    return made


async def cap_batches(
    connection: AsyncConnection, tenant_id: str, caps: Mapping[str, int]
) -> dict[str, int]:
    """Make the budget of each batch that has none; what each may cost now, nano-USD.

    Whoever comes second waits for the first one's commit, and sees the first one's cap.
    """
    asked = {
        "tenant_id": tenant_id, "batches": list(caps), "caps": list(caps.values()),
        "ids": [new_id(IdKind.BUDGET) for _ in caps],
    }  # fmt: skip
    if (await connection.execute(ADD_OF_BATCHES, asked)).first() is not None:
        await connection.execute(RAISE_VERSION)
    names = {f"{BATCH_NAME}{batch}": batch for batch in caps}
    of_names = {"tenant_id": tenant_id, "names": list(names)}
    rows = await connection.execute(CAPS_OF_NAMES, of_names)
    return {names[row.name]: row.cap_nano for row in rows}


async def list_budgets(
    connection: AsyncConnection, tenant_id: str, *, house: bool
) -> list[Standing]:
    """The living budgets of a tenant, the oldest first; with `house` those over all tenants too."""
    rows = await connection.execute(ALL, {"tenant_id": tenant_id, "house": house})
    return [_standing(row) for row in rows]


async def find_budget(
    connection: AsyncConnection,
    tenant_id: str,
    budget_id: str,
    *,
    house: bool,
    lock: bool = False,
) -> Standing | None:
    """One of these, also when it is archived; None for any other id.

    With `lock` nobody else changes it before this transaction ends.
    """
    if lock:
        await connection.execute(LOCK, {"id": budget_id})
    asked = {"tenant_id": tenant_id, "house": house, "id": budget_id}
    row = (await connection.execute(ONE, asked)).one_or_none()
    return None if row is None else _standing(row)


async def change_budget(connection: AsyncConnection, budget: Budget) -> None:
    """Give a living budget another cap, policy or alerts; all else of it stays.

    Its window is locked first: what is released meanwhile was held by the old cap, what comes
    after is held by the new one.
    """
    await read_windows(connection, [budget.id], lock=True)
    await connection.execute(CHANGE, {"id": budget.id, **_changeable(budget)})
    await connection.execute(RAISE_VERSION)


async def archive_budget(connection: AsyncConnection, budget_id: str) -> None:
    """It limits nothing from now on; its windows stay, and what is on its way still counts."""
    await connection.execute(ARCHIVE, {"id": budget_id})
    await connection.execute(RAISE_VERSION)


async def archive_gone(connection: AsyncConnection, cutoff: datetime) -> int:
    """Archive the budgets of batches whose jobs are all pruned; how many those were."""
    gone = (await connection.execute(ARCHIVE_OF_GONE, {"cutoff": cutoff})).all()
    if gone:
        await connection.execute(RAISE_VERSION)
    return len(gone)


async def read_alerts(connection: AsyncConnection, budget_id: str) -> Sequence[Row[Any]]:
    """The shares that were passed in all its windows, the newest first."""
    return (await connection.execute(TOLD, {"id": budget_id})).all()


def _changeable(budget: Budget) -> dict[str, Any]:
    return {
        "cap_nano": budget.cap_nano, "at_limit": budget.at_limit,
        "downgrade_at": budget.downgrade_at, "downgrade_to": budget.downgrade_to,
        "alerts": list(budget.alerts),
    }  # fmt: skip


def _standing(row: Any) -> Standing:
    return Standing(
        budget=budget_of(row),
        created_at=row.created_at,
        archived_at=row.archived_at,
        starts_at=row.starts_at,
        resets_at=row.resets_at,
        spent_nano=row.spent_nano,
        held_nano=row.held_nano,
        told=tuple(row.told),
    )
