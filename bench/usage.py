"""How fast usage is read out of the sums of millions of calls, and what it costs to sum up."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from time import monotonic, process_time
from typing import Final

import psycopg
from sqlalchemy import text

from bench.figures import Part
from bench.processes import cpu_seconds
from bench.sizes import Size
from cli.stack.servers import Servers
from shared.db.engine import Database
from shared.db.rollup import BEGINS, roll_up
from shared.db.usage import DAY, Page, Span, read_usage
from shared.domain.budget import Every
from shared.domain.usage import Dimension
from tests.databases import own_database

DAYS: Final = 90
END: Final = datetime(2026, 3, 1, tzinfo=UTC)
TENANTS: Final = 20
CALLS_A_ROW: Final = 2
"""Calls of one minute that have all their words in common: few, as traffic is spread."""
REPEATS: Final = 12
MS: Final = 1000
COLUMNS: Final = """
words, at, tenant_id, project, key_id, tags, provider, model, route, outcome, calls, input_tokens,
cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano, saved_nano, latencies
"""
TENANT_ROWS: Final = """
INSERT INTO tenants (id, name) SELECT 'ten_' || n, 'tenant ' || n FROM generate_series(0, 19) AS n
"""
# Divided by other primes, each project of a tenant meets each model and outcome; a project has
# its key and tag, a model its provider.
FILL: Final = f"""
INSERT INTO usage_minutes ({COLUMNS})
SELECT md5(concat(n / 7 % 5, ' ', n / 13 % 10, ' ', greatest(n / 17 % 6, 3)))::uuid,
    date_trunc('minute', timestamptz '{{start}}' + n * interval '{{days}} days' / {{rows}}),
    'ten_' || n % 20, 'project ' || n / 7 % 5, 'key_' || n / 7 % 5, ARRAY['tag ' || n / 7 % 5],
    'provider ' || n / 13 % 10 % 3, 'model ' || n / 13 % 10, 'model ' || n / 13 % 10,
    (ARRAY['answered', 'answered', 'answered', 'answered', 'refused:rate_limited', 'unknown'])
        [1 + n / 17 % 6],
    2, 2400, 800, 0, 600, 0, 5000000, 90000, array_fill(0::bigint, ARRAY[14 + n % 8]) || 2::bigint
FROM generate_series(0, {{rows}} - 1) AS n
ON CONFLICT DO NOTHING
"""
LONGER: Final = f"""
INSERT INTO usage_{{grain}}s ({COLUMNS})
SELECT words, date_trunc('{{grain}}', at, 'UTC'), tenant_id, project, key_id, tags, provider, model,
    route, outcome, sum(calls), sum(input_tokens), sum(cached_tokens), 0, sum(output_tokens), 0,
    sum(cost_nano), sum(saved_nano), max(latencies)
FROM usage_minutes GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
"""
UNGUARDED: Final = "SET session_replication_role = replica"
"""Jobs that have ended are made by no move."""
PENDING: Final = """
INSERT INTO jobs (id, tenant_id, project, tags, route, lane, state, run_at, deadline, max_tries,
                  input_tokens, max_tokens)
SELECT 'job_' || lpad(n::text, 9, '0'), 'ten_0', 'project ' || n % 5, ARRAY['tag ' || n % 4],
    'model ' || n % 10, 1, 'succeeded', now(), now(), 5, 10, 10
FROM generate_series(1, {calls}) AS n;
INSERT INTO attempts (id, job_id, tenant_id, epoch, deployment, queue, state, permit_tokens,
                      hold_nano, cost_nano, usage, price, latency_ms, sent_at, ended_at)
SELECT 'att_' || lpad(n::text, 9, '0'), 'job_' || lpad(n::text, 9, '0'), 'ten_0', 1,
    'openai/model ' || n % 10, 'openai', 'answered', 20, 9000, 5000,
    '{{"input_tokens": 1000, "cached_tokens": 400, "cache_write_tokens": 0,
      "cache_write_1h_tokens": 0, "output_tokens": 300, "reasoning_tokens": 0}}',
    '{{"price": "input 0.4, cached 0.1, output 1.6; USD per million tokens"}}', 200 + n % 999,
    now() - n * interval '1 ms', now()
FROM generate_series(1, {calls}) AS n;
INSERT INTO usage_pending (attempt_id, was, cost_nano)
SELECT 'att_' || lpad(n::text, 9, '0'), 'sent', 0 FROM generate_series(1, {calls}) AS n;
"""


def _span(days: int, every: Every, time_zone: str = "UTC", tenant: str | None = "ten_3") -> Span:
    return Span(
        tenant_id=tenant, start=END - timedelta(days=days), end=END, every=every,
        time_zone=time_zone,
    )  # fmt: skip


QUESTIONS: Final[Mapping[str, tuple[Span, Page]]] = {
    "a week by day and model": (_span(7, Every.DAY), Page(group_by=(Dimension.MODEL,))),
    "a day by hour": (_span(1, Every.HOUR), Page()),
    "a week by hour and provider": (_span(7, Every.HOUR), Page(group_by=(Dimension.PROVIDER,))),
    "a month by day and project": (_span(30, Every.DAY), Page(group_by=(Dimension.PROJECT,))),
    "a month by day elsewhere": (_span(30, Every.DAY, "Europe/Berlin"), Page()),
    "90 days by month, tag and outcome": (
        _span(90, Every.MONTH),
        Page(group_by=(Dimension.TAG, Dimension.OUTCOME)),
    ),
    "90 days of a tenant": (_span(90, Every.TOTAL), Page(group_by=(Dimension.MODEL,))),
    "a month of everybody, by tenant": (
        _span(30, Every.TOTAL, tenant=None),
        Page(group_by=(Dimension.TENANT,)),
    ),
}


async def usage(servers: Servers, size: Size) -> Part:
    """Fill the sums, ask each question some times, then sum up calls that just closed."""
    part = Part(
        f"{size.usage_calls:,} calls of {TENANTS} tenants in {DAYS} days: milliseconds a question",
        ["question", "p50", "p95", "CPU of Postgres", "rows"],
    )
    with own_database(servers, "usage") as url:
        _execute(url, *_filling(size.usage_calls // CALLS_A_ROW))
        database = Database(url, pool_size=1)
        try:
            part.figures["usage"] = quantiles(await _ask(database, part), n=20)[-1]
            _execute(url, UNGUARDED, PENDING.format(calls=size.usage_rolled), "VACUUM ANALYZE")
            ours, theirs = await _roll(database)
        finally:
            await database.close()
    a_call = 1e6 / size.usage_rolled
    summed = f"to sum up a call, µs of CPU; the worker's {ours * a_call:.0f}"
    part.rows.append([summed, "-", "-", theirs * a_call, "-"])
    part.figures["rollup"] = (ours + theirs) * a_call
    return part


def _filling(rows: int) -> tuple[str, ...]:
    """The statements that make so many sums by the minute, and those by the hour and day."""
    start = END - DAYS * DAY
    filled = FILL.format(rows=rows, start=start.isoformat(), days=DAYS)
    longer = [LONGER.format(grain=grain) for grain in BEGINS if grain != "minute"]
    return TENANT_ROWS, filled, *longer, *(f"VACUUM ANALYZE usage_{grain}s" for grain in BEGINS)


def _execute(url: str, *statements: str) -> None:
    """Each by itself, however long it takes."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def _ask(database: Database, part: Part) -> list[float]:
    """Milliseconds of every question, each some times after one that warms."""
    every: list[float] = []
    pid = await _backend(database)
    for name, (span, page) in QUESTIONS.items():
        took, rows, cpu = [], 0, cpu_seconds(pid)
        for _ in range(1 + REPEATS):
            began = monotonic()
            async with database.transaction() as connection:
                rows = len(await read_usage(connection, span, page))
            took.append((monotonic() - began) * MS)
        cpu = (cpu_seconds(pid) - cpu) * MS / len(took)
        part.rows.append([name, median(took[1:]), quantiles(took[1:], n=20)[-1], cpu, rows])
        every += took[1:]
    return every


async def _roll(database: Database) -> tuple[float, float]:
    """Seconds of CPU of this process and of Postgres until all is summed up."""
    pid = await _backend(database)
    ours, theirs = process_time(), cpu_seconds(pid)
    count = 1
    while count:
        async with database.transaction() as connection:
            count = await roll_up(connection)
    return process_time() - ours, cpu_seconds(pid) - theirs


async def _backend(database: Database) -> int:
    """The process of Postgres that serves the only connection."""
    async with database.transaction() as connection:
        pid: int = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        return pid
