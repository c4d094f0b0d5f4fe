"""The first schema: tenants to events, with the guards of every move."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE tenants (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL UNIQUE,
    weight integer NOT NULL DEFAULT 1 CHECK (weight > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE api_keys (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE jobs (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
    key_id text COLLATE "C",
    batch text COLLATE "C",
    route text COLLATE "C" NOT NULL,
    lane smallint NOT NULL,
    state text COLLATE "C" NOT NULL,
    wait_reason text COLLATE "C",
    run_at timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    open_attempt text COLLATE "C",
    tries integer NOT NULL DEFAULT 0,
    max_tries integer NOT NULL,
    tried text[] NOT NULL DEFAULT '{}',
    crashes integer NOT NULL DEFAULT 0,
    isolated boolean NOT NULL DEFAULT false,
    isolated_crashes integer NOT NULL DEFAULT 0,
    input_tokens integer NOT NULL,
    max_tokens integer NOT NULL,
    cost_nano bigint NOT NULL DEFAULT 0,
    cost_flagged boolean NOT NULL DEFAULT false,
    error_kind text COLLATE "C",
    error text,
    cancel_requested_at timestamptz,
    state_version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT open_attempt_only_while_open
        CHECK (open_attempt IS NULL OR state IN ('queued', 'running')),
    CONSTRAINT running_has_an_attempt CHECK (state <> 'running' OR open_attempt IS NOT NULL)
);
-- The dispatcher's peek: lanes, then tenants, then age, of one route.
CREATE INDEX jobs_due ON jobs (route, lane, tenant_id, id)
    WHERE state = 'queued' AND open_attempt IS NULL;
CREATE INDEX jobs_scheduled ON jobs (run_at) WHERE state = 'scheduled';
CREATE INDEX jobs_deadline ON jobs (deadline) WHERE state IN ('scheduled', 'queued');
CREATE INDEX jobs_of_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_of_batch ON jobs (tenant_id, batch, id) WHERE batch IS NOT NULL;

CREATE TABLE payloads (
    job_id text COLLATE "C" PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    request jsonb NOT NULL,
    metadata jsonb
);

CREATE TABLE idempotency_keys (
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
    key text COLLATE "C" NOT NULL,
    body_hash bytea NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, key)
);

CREATE TABLE workers (
    id text COLLATE "C" PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    queues text[] NOT NULL,
    capacity integer NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('alive', 'stopped', 'lost')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL
);
CREATE INDEX workers_alive ON workers (lease_until) WHERE state = 'alive';

CREATE TABLE deployments (
    id text COLLATE "C" PRIMARY KEY,
    ready boolean NOT NULL,
    reason text,
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE attempts (
    id text COLLATE "C" PRIMARY KEY,
    job_id text COLLATE "C" NOT NULL REFERENCES jobs ON DELETE CASCADE,
    tenant_id text COLLATE "C" NOT NULL,
    epoch integer NOT NULL,
    deployment text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    worker_id text COLLATE "C",
    permit_tokens integer NOT NULL,
    hold_nano bigint NOT NULL CHECK (hold_nano >= 0),
    cost_nano bigint,
    usage jsonb,
    price jsonb,
    failure_kind text COLLATE "C",
    error text,
    provider_request_id text,
    latency_ms integer,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    ended_at timestamptz,
    UNIQUE (job_id, epoch)
);
CREATE INDEX attempts_planned ON attempts (planned_at) WHERE state = 'planned';
CREATE INDEX attempts_sent ON attempts (worker_id) WHERE state = 'sent';

CREATE TABLE results (
    job_id text COLLATE "C" PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    attempt_id text COLLATE "C" NOT NULL,
    body jsonb NOT NULL,
    sanitised boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE ledger (
    attempt_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('hold', 'settle', 'release', 'adjust')),
    tenant_id text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    spent_nano bigint NOT NULL,
    held_nano bigint NOT NULL,
    flagged boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (attempt_id, kind)
);
-- One closing row at most: the hold goes back once, as a cost or as nothing.
CREATE UNIQUE INDEX ledger_closed_once ON ledger (attempt_id)
    WHERE kind IN ('settle', 'release');

CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    state_version integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX events_of_job ON events (job_id, id);
"""

REFUSALS = """
CREATE FUNCTION refuse_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% %: no move from % to %', TG_TABLE_NAME, NEW.id,
        CASE WHEN TG_OP = 'INSERT' THEN 'nothing' ELSE OLD.state END, NEW.state
        USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE ON ledger
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


JOB_MOVES = """
    ('scheduled', 'queued'), ('scheduled', 'cancelled'), ('scheduled', 'expired'),
    ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'expired'),
    ('running', 'queued'), ('running', 'scheduled'), ('running', 'succeeded'),
    ('running', 'failed'), ('running', 'cancelled'), ('running', 'expired')
"""
ATTEMPT_MOVES = """
    ('planned', 'sent'), ('planned', 'returned'),
    ('sent', 'answered'), ('sent', 'refused'), ('sent', 'failed'), ('sent', 'unknown'),
    ('unknown', 'answered'), ('unknown', 'refused'), ('unknown', 'failed')
"""


def _guard(table: str, moves: str, births: str) -> None:
    """Refuse every other move; a lawful one costs only the WHEN clause."""
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
    """Make every table and guard."""
    op.execute(TABLES)
    op.execute(REFUSALS)
    _guard("jobs", JOB_MOVES, "'scheduled', 'queued'")
    _guard("attempts", ATTEMPT_MOVES, "'planned'")


def downgrade() -> None:
    """Drop it all, in reverse."""
    op.execute(
        "DROP TABLE events, ledger, results, attempts, deployments, workers,"
        " idempotency_keys, payloads, jobs, api_keys, tenants;"
        "DROP FUNCTION refuse_move(); DROP FUNCTION refuse_change();"
    )
