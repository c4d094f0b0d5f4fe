"""Find the idempotency keys of a job: they are let go of together."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index; accepting with keys waits for it."""
    op.execute("CREATE INDEX idempotency_keys_of_job ON idempotency_keys (job_id)")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP INDEX idempotency_keys_of_job")
