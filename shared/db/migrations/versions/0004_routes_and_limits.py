"""Jobs carry their policy; tenants and keys have limits; workers say whom they cannot call."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# A column without a default, or with a constant one, rewrites nothing.
ADDED = {
    "jobs": {"policy": "jsonb", "web_search": "boolean NOT NULL DEFAULT false"},
    "workers": {"missing": "jsonb NOT NULL DEFAULT '{}'"},
    "tenants": {
        "max_running": "integer CHECK (max_running > 0)",
        "max_queued": "integer CHECK (max_queued > 0)",
        "max_queued_bytes": "bigint CHECK (max_queued_bytes > 0)",
        "requests_per_minute": "integer CHECK (requests_per_minute > 0)",
    },
    "api_keys": {
        "max_running": "integer CHECK (max_running > 0)",
        "requests_per_minute": "integer CHECK (requests_per_minute > 0)",
    },
}


def upgrade() -> None:
    """Add the columns."""
    for table, columns in ADDED.items():
        for name, kind in columns.items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def downgrade() -> None:
    """Drop them."""
    for table, columns in ADDED.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
