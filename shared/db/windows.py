"""The windows of budgets: what is spent and held in each, counted by whoever books."""

from typing import Final

# A part of the statements that book: `booked` gives attempt_id, spent_nano, held_nano, budgets.
# Windows are locked in the order of their ids by everybody, so no two wait for each other. Each
# share of the cap that is passed is noted in the same transaction: the primary key of
# budget_alerts lets that happen once.
COUNT_BOOKED: Final = """
due AS (
    SELECT window_id, sum(spent_nano)::bigint AS spent, sum(held_nano)::bigint AS held
    FROM booked, unnest(budgets) AS window_id GROUP BY window_id
), locked AS MATERIALIZED (
    SELECT id FROM budget_windows WHERE id IN (SELECT window_id FROM due)
    ORDER BY id FOR UPDATE
), counted AS (
    UPDATE budget_windows SET spent_nano = budget_windows.spent_nano + due.spent,
        held_nano = budget_windows.held_nano + due.held
    FROM locked JOIN due ON due.window_id = locked.id
    WHERE budget_windows.id = locked.id
    RETURNING budget_windows.id, budget_windows.budget_id, budget_windows.spent_nano
), alerted AS (
    INSERT INTO budget_alerts (window_id, percent, spent_nano, cap_nano)
    SELECT counted.id, percent, counted.spent_nano, budgets.cap_nano
    FROM counted JOIN budgets ON budgets.id = counted.budget_id, unnest(budgets.alerts) AS percent
    WHERE counted.spent_nano > 0 AND counted.spent_nano * 100.0 >= percent * budgets.cap_nano
    ON CONFLICT DO NOTHING
)"""
