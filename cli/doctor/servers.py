"""Checks of Postgres and of Valkey or Redis: given ones, or those of the running stack."""

from collections.abc import Callable
from typing import Final

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from cli.doctor.finding import Finding, ok, problem, warning
from cli.stack.binaries import find_postgres, find_valkey
from cli.stack.errors import StackError
from cli.stack.home import Home
from cli.stack.options import StackOptions
from shared.db.migrate import newest
from shared.domain.clock import SystemClock

OLDEST_POSTGRES: Final = 150_000
OLDEST_REDIS: Final = (6, 2)
MOST_SKEW: Final = 2.0
"""Seconds between two clocks: leases, windows and what is shown must agree."""
PATIENCE: Final = 5


def postgres(options: StackOptions) -> list[Finding]:
    """It answers, is new enough, has our schema and our time."""
    url = options.database_url or Home(options.home).read_state().database_url
    if not url or not (options.database_url or Home(options.home).launcher()):
        return [_ours("Postgres", lambda: str(find_postgres(options).folder))]
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(plain, connect_timeout=PATIENCE, autocommit=True) as connection:
            return [_postgres_version(connection), _schema(connection), _postgres_clock(connection)]
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        return [problem(f"Postgres does not answer ({reason})", "check DATABASE_URL")]


def redis(options: StackOptions) -> list[Finding]:
    """It answers, is new enough, forgets nothing by itself and has our time."""
    url = options.redis_url or Home(options.home).read_state().redis_url
    if not url or not (options.redis_url or Home(options.home).launcher()):
        return [_ours("Valkey", lambda: str(find_valkey(options)))]
    try:
        with Redis.from_url(url, socket_timeout=PATIENCE, decode_responses=True) as client:
            return [_redis_version(client), _eviction(client), _log(client), _redis_clock(client)]
    except (RedisError, ValueError) as error:
        return [problem(f"Redis does not answer ({error})", "check REDIS_URL")]


def _ours(name: str, find: Callable[[], str]) -> Finding:
    try:
        where = find()
    except StackError as error:
        return problem(error.message, "make setup installs the servers of the wheels")
    return ok(f"{name} of our own: {where}")


def _postgres_version(connection: psycopg.Connection) -> Finding:
    found = connection.info.server_version
    what = f"Postgres {found // 10_000}.{found % 10_000}"
    return ok(what) if found >= OLDEST_POSTGRES else problem(what, "use Postgres 15 or newer")


def _schema(connection: psycopg.Connection) -> Finding:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    found = row[0] if row else "no step"
    if found == newest():
        return ok(f"the schema is at its newest step, {found}")
    return problem(f"the schema is at {found}, not {newest()}", "promptmill migrate")


def _postgres_clock(connection: psycopg.Connection) -> Finding:
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    return _clock("Postgres", float(row[0]) if row else 0.0)


def _redis_version(client: Redis) -> Finding:
    info = client.info("server")
    found = str(info.get("valkey_version") or info["redis_version"])
    what = f"{'Valkey' if 'valkey_version' in info else 'Redis'} {found}"
    numbers = tuple(int(part) for part in found.split(".")[:2])
    return ok(what) if numbers >= OLDEST_REDIS else problem(what, "use Redis 6.2 or newer")


def _eviction(client: Redis) -> Finding:
    policy = client.info("memory").get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return ok("it evicts nothing")
    return problem(f"it evicts keys by itself ({policy})", "set maxmemory-policy noeviction")


def _log(client: Redis) -> Finding:
    if client.info("persistence").get("aof_enabled"):
        return ok("it keeps its log (AOF)")
    what = "it keeps no log: after its restart rates start empty, and messages go back after 30 s"
    return warning(what, "set appendonly yes")


def _redis_clock(client: Redis) -> Finding:
    seconds, micros = client.time()
    return _clock("Redis", seconds + micros / 1e6)


def _clock(whose: str, at: float) -> Finding:
    skew = at - SystemClock().now().timestamp()
    if abs(skew) > MOST_SKEW:
        return warning(f"the clock of {whose} is {skew:+.1f} s from ours", "run an NTP client")
    return ok(f"the clock of {whose} agrees with ours")
