"""Providers can be switched off, and are checked; a job knows who cannot take it."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; a column without a default rewrites nothing."""
    op.execute("""
        CREATE TABLE providers (
            id text COLLATE "C" PRIMARY KEY,
            enabled boolean NOT NULL DEFAULT true,
            reason text,
            changed_by text,
            changed_at timestamptz,
            asked_at timestamptz,
            claimed_at timestamptz,
            checked_at timestamptz,
            latency_ms integer,
            error text
        )
    """)
    op.execute("ALTER TABLE jobs ADD COLUMN unfit text[]")


def downgrade() -> None:
    """Drop both."""
    op.execute("ALTER TABLE jobs DROP COLUMN unfit")
    op.execute("DROP TABLE providers")
