"""Jobs carry their policy and can fail unsent; callers have limits; workers say what they lack."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# A column without a default, or with a constant one, rewrites nothing.
ADDED = {
    "attempts": {"further": "text COLLATE \"C\" NOT NULL DEFAULT 'later'"},
    "jobs": {
        "policy": "jsonb",
        "web_search": "boolean NOT NULL DEFAULT false",
        "request_bytes": "integer NOT NULL DEFAULT 0",
    },
    "workers": {"missing": "jsonb NOT NULL DEFAULT '{}'"},
    "tenants": {
        "max_running": "integer CHECK (max_running > 0)",
        "max_queued": "integer CHECK (max_queued > 0)",
        "max_queued_bytes": "bigint CHECK (max_queued_bytes > 0)",
        "requests_per_minute": "integer CHECK (requests_per_minute > 0)",
        "policy": "jsonb",
    },
    "api_keys": {
        "max_running": "integer CHECK (max_running > 0)",
        "requests_per_minute": "integer CHECK (requests_per_minute > 0)",
    },
}

# Both are read without their tables: what waits of a tenant, and what is in flight of it.
INDEXES = {
    "jobs_waiting": "ON jobs (tenant_id) INCLUDE (request_bytes)"
    " WHERE state IN ('scheduled', 'queued')",
    "attempts_open": "ON attempts (tenant_id) WHERE state IN ('planned', 'sent')",
}
JOB_MOVES = """
    ('scheduled', 'queued'), ('scheduled', 'cancelled'), ('scheduled', 'expired'),
    ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'expired'), ('queued', 'failed'),
    ('running', 'queued'), ('running', 'scheduled'), ('running', 'succeeded'),
    ('running', 'failed'), ('running', 'cancelled'), ('running', 'expired')
"""
QUEUED_TO_FAILED = "('queued', 'failed'),"
DEPLOYMENTS = """
    CREATE TABLE deployments (
        id text COLLATE "C" PRIMARY KEY,
        ready boolean NOT NULL,
        reason text,
        reported_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""


def _guard(table: str, moves: str, births: str) -> None:
    """Put the guard anew; a lawful move costs only the WHEN clause."""
    op.execute(f"DROP TRIGGER {table}_moves ON {table}; DROP TRIGGER {table}_births ON {table}")
    op.execute(
        f"CREATE TRIGGER {table}_moves BEFORE UPDATE OF state ON {table} FOR EACH ROW "
        f"WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN ({moves})) "
        "EXECUTE FUNCTION refuse_move()"
    )
    op.execute(
        f"CREATE TRIGGER {table}_births BEFORE INSERT ON {table} FOR EACH ROW "
        f"WHEN (NEW.state NOT IN ({births})) EXECUTE FUNCTION refuse_move()"
    )


def upgrade() -> None:
    """Add the columns, the indexes and the move."""
    for table, columns in ADDED.items():
        for name, kind in columns.items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    for name, place in INDEXES.items():
        op.execute(f"CREATE INDEX {name} {place}")
    _guard("jobs", JOB_MOVES, "'scheduled', 'queued'")
    # What `workers.missing` says instead, each worker for itself.
    op.execute("DROP TABLE deployments")


def downgrade() -> None:
    """Drop them."""
    op.execute(DEPLOYMENTS)
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    _guard("jobs", JOB_MOVES.replace(QUEUED_TO_FAILED, ""), "'scheduled', 'queued'")
    for table, columns in ADDED.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
