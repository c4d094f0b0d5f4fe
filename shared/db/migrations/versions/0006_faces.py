"""Other APIs' faces: what made a job; files and batches; webhooks and what they were told."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ADDED = {
    "jobs": {"face": 'text COLLATE "C"'},
    "payloads": {
        # What replies of that face repeat: parameters that are no part of the normal form.
        "echo": "jsonb",
        "webhook": 'text COLLATE "C"',
    },
    "api_keys": {
        # What a rotation replaced counts until then, too.
        "old_secret_hash": "bytea",
        "old_secret_until": "timestamptz NOT NULL DEFAULT '-infinity'",
        "last_used_at": "timestamptz",
    },
    # How often its client had tried, which knows no keys: shared/db/creates.py.
    "idempotency_keys": {"tries": "smallint NOT NULL DEFAULT 0"},
    # What happened before is told to nobody.
    "events": {"told_at": "timestamptz DEFAULT clock_timestamp()"},
}

FILES = """
CREATE TABLE files (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
    key_id text COLLATE "C",
    purpose text COLLATE "C" NOT NULL,
    filename text NOT NULL,
    -- Null while it comes in.
    bytes bigint,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);
CREATE INDEX files_of_tenant ON files (tenant_id, id);
CREATE INDEX files_expiring ON files (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE file_parts (
    file_id text COLLATE "C" NOT NULL REFERENCES files ON DELETE CASCADE,
    number integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (file_id, number)
);
"""

BATCHES = """
CREATE TABLE batches (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
    key_id text COLLATE "C",
    -- As whose API it was made: its lines' form, and its results'.
    dialect text COLLATE "C" NOT NULL,
    endpoint text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    model text COLLATE "C",
    input_file_id text COLLATE "C" NOT NULL,
    output_file_id text COLLATE "C",
    error_file_id text COLLATE "C",
    window_seconds integer NOT NULL,
    -- What was asked for beside the file, and what its jobs inherit.
    options jsonb NOT NULL DEFAULT '{}',
    metadata jsonb,
    errors jsonb,
    total integer NOT NULL DEFAULT 0,
    -- Lines that are jobs already: where an interrupted registration goes on.
    registered integer NOT NULL DEFAULT 0,
    completed integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    usage jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    in_progress_at timestamptz,
    finalizing_at timestamptz,
    completed_at timestamptz,
    failed_at timestamptz,
    expired_at timestamptz,
    cancelling_at timestamptz,
    cancelled_at timestamptz,
    -- Who works on it has it until then.
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX batches_of_tenant ON batches (tenant_id, id);
CREATE INDEX batches_open ON batches (lease_until)
    WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling');
CREATE INDEX jobs_open_of_batch ON jobs (batch)
    WHERE batch IS NOT NULL AND state IN ('scheduled', 'queued', 'running');
"""

WEBHOOKS = """
CREATE TABLE webhook_endpoints (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
    -- The URL of single jobs, not of all that happens: nobody made it by hand.
    of_jobs boolean NOT NULL DEFAULT false,
    name text NOT NULL,
    url text NOT NULL,
    event_types text[] NOT NULL,
    -- The secret is derived from the pepper, the id and this number: none is stored.
    secret_number integer NOT NULL DEFAULT 1,
    old_secret_until timestamptz NOT NULL DEFAULT '-infinity',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The first failure since it last answered well.
    failing_since timestamptz,
    -- It asked for a pause.
    paused_until timestamptz NOT NULL DEFAULT '-infinity',
    disabled_at timestamptz,
    disabled_reason text,
    deleted_at timestamptz
);
CREATE INDEX webhook_endpoints_of_tenant ON webhook_endpoints (tenant_id, id)
    WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX webhook_endpoints_of_jobs ON webhook_endpoints (tenant_id, url, event_types)
    WHERE of_jobs AND deleted_at IS NULL;

CREATE TABLE deliveries (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
    endpoint_id text COLLATE "C" NOT NULL REFERENCES webhook_endpoints,
    -- The same for every endpoint and every try: receivers know a repeat by it.
    message_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    body text NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'delivered', 'given_up', 'dropped')),
    tries integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);
CREATE INDEX deliveries_due ON deliveries (endpoint_id, next_at) WHERE state = 'pending';
CREATE INDEX deliveries_of_endpoint ON deliveries (endpoint_id, id);

CREATE TABLE delivery_tries (
    delivery_id text COLLATE "C" NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    number integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status integer,
    error text,
    milliseconds integer NOT NULL,
    PRIMARY KEY (delivery_id, number)
);
CREATE INDEX events_untold ON events (id) WHERE told_at IS NULL;
"""

BUS = """
-- What a subscriber broke on: it alone is told again.
CREATE TABLE events_missed (
    event_id bigint NOT NULL REFERENCES events ON DELETE CASCADE,
    subscriber text COLLATE "C" NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (event_id, subscriber)
);
CREATE TABLE event_counts (
    type text COLLATE "C" PRIMARY KEY,
    count bigint NOT NULL
);
"""

MADE_LAST_FIRST = (
    "event_counts", "events_missed",
    "delivery_tries", "deliveries", "webhook_endpoints", "batches", "file_parts", "files",
)  # fmt: skip


def upgrade() -> None:
    """Add the columns and make the tables."""
    for table, columns in ADDED.items():
        for name, kind in columns.items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    op.execute("ALTER TABLE events ALTER COLUMN told_at DROP DEFAULT")
    for tables in (FILES, BATCHES, WEBHOOKS, BUS):
        op.execute(tables)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX events_untold; DROP INDEX jobs_open_of_batch")
    op.execute(f"DROP TABLE {', '.join(MADE_LAST_FIRST)}")
    for table, columns in ADDED.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
