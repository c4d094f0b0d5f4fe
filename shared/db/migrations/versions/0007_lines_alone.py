"""Lines of a batch that cannot be taken, where each counts for itself."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute("""
CREATE TABLE batch_refusals (
    batch_id text COLLATE "C" NOT NULL REFERENCES batches ON DELETE CASCADE,
    line integer NOT NULL,
    custom_id text NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (batch_id, line)
)
""")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE batch_refusals")
