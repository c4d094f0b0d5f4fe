"""Budgets with their windows and alerts, whom a job belongs to, and usage summed up."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# A column without a default, or with a constant one, rewrites nothing.
ADDED = {
    "jobs": {
        "project": 'text COLLATE "C"',
        "end_user": 'text COLLATE "C"',
        "tags": 'text[] COLLATE "C"',
    },
    "api_keys": {"project": 'text COLLATE "C"'},
    "attempts": {"budgets": "bigint[]"},
    "ledger": {"budgets": "bigint[]", "reason": "text"},
}

TABLES = """
CREATE TABLE budgets (
    id text COLLATE "C" PRIMARY KEY,
    -- Null: of the whole house, over all tenants.
    tenant_id text COLLATE "C" REFERENCES tenants,
    name text NOT NULL,
    scope text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    cap_nano bigint NOT NULL CHECK (cap_nano >= 0),
    every text COLLATE "C" NOT NULL,
    time_zone text NOT NULL,
    at_limit text COLLATE "C" NOT NULL,
    -- Percent of the cap from which the cheaper route is taken.
    downgrade_at integer CHECK (downgrade_at BETWEEN 1 AND 100),
    downgrade_to text,
    alerts integer[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    archived_at timestamptz
);
CREATE UNIQUE INDEX budgets_by_name ON budgets (tenant_id, name) NULLS NOT DISTINCT
    WHERE archived_at IS NULL;

-- Raised whenever a budget is made, changed or archived: nobody releases by an old list.
CREATE TABLE budgets_version (version bigint NOT NULL);
INSERT INTO budgets_version VALUES (0);

CREATE TABLE budget_windows (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    budget_id text COLLATE "C" NOT NULL REFERENCES budgets,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    spent_nano bigint NOT NULL DEFAULT 0,
    held_nano bigint NOT NULL DEFAULT 0 CHECK (held_nano >= 0),
    UNIQUE (budget_id, starts_at)
);

-- The primary key is the promise: each share of each window is told once.
CREATE TABLE budget_alerts (
    window_id bigint NOT NULL REFERENCES budget_windows,
    percent integer NOT NULL,
    spent_nano bigint NOT NULL,
    cap_nano bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Who has heard of it; `told_at`: when the last of them did.
    told text[] COLLATE "C" NOT NULL DEFAULT '{}',
    told_at timestamptz,
    -- Null: it was given up.
    next_at timestamptz DEFAULT clock_timestamp(),
    tries integer NOT NULL DEFAULT 0,
    PRIMARY KEY (window_id, percent)
);
CREATE INDEX budget_alerts_untold ON budget_alerts (next_at) WHERE told_at IS NULL;

-- What the sums of usage have not taken up yet; `was`: how the attempt stood before.
CREATE TABLE usage_pending (
    id bigint GENERATED ALWAYS AS IDENTITY,
    attempt_id text COLLATE "C" NOT NULL,
    was text COLLATE "C" NOT NULL,
    cost_nano bigint NOT NULL,
    -- The first row of an attempt tells what the sums hold of it: all of them go together.
    PRIMARY KEY (attempt_id, id)
);
"""

# The day is that of UTC: a day elsewhere is a sum of hours, or of minutes where clocks are apart by
# a part of one.
SUMS = """
CREATE TABLE usage_{every}s (
    at timestamptz NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    project text COLLATE "C" NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    tags text[] COLLATE "C" NOT NULL,
    -- A digest of all words but the tenant: they may be longer than an index takes.
    words uuid NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    calls bigint NOT NULL,
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_nano bigint NOT NULL,
    saved_nano bigint NOT NULL,
    -- Calls by latency: bucket n holds those of less than 2^(n/2) ms.
    latencies bigint[] NOT NULL,
    PRIMARY KEY (at, tenant_id, words)
);
CREATE INDEX usage_{every}s_of_tenant ON usage_{every}s (tenant_id, at);
"""
EVERY = ("minute", "hour", "day")

# What a person looks through: a project's jobs, bills that nobody knows, those above the hold.
INDEXES = {
    "jobs_of_project": "ON jobs (tenant_id, project, id) WHERE project IS NOT NULL",
    "jobs_of_end_user": "ON jobs (tenant_id, end_user, id) WHERE end_user IS NOT NULL",
    "ledger_flagged": "ON ledger (attempt_id) WHERE flagged",
    "ledger_excess": "ON ledger (attempt_id) WHERE kind = 'settle' AND spent_nano + held_nano > 0",
}

# Calls of before count, too.
BACKFILL = """
INSERT INTO usage_pending (attempt_id, was, cost_nano)
SELECT id, 'sent', 0 FROM attempts
WHERE state IN ('answered', 'refused', 'failed', 'unknown') AND sent_at IS NOT NULL
"""

MADE_LAST_FIRST = (
    "usage_days", "usage_hours", "usage_minutes", "usage_pending", "budget_alerts",
    "budget_windows", "budgets_version", "budgets",
)  # fmt: skip


def upgrade() -> None:
    """Add the columns and make the tables."""
    for table, columns in ADDED.items():
        for name, kind in columns.items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    op.execute(TABLES)
    for every in EVERY:
        op.execute(SUMS.format(every=every))
    op.execute(BACKFILL)
    for name, place in INDEXES.items():
        op.execute(f"CREATE INDEX {name} {place}")


def downgrade() -> None:
    """Drop them."""
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute(f"DROP TABLE {', '.join(MADE_LAST_FIRST)}")
    for table, columns in ADDED.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
