"""The API as a process of its own, a client with a key, and a second tenant."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from cli.stack.servers import Servers
from shared.db.engine import Database
from shared.db.tenants import create_key, ensure_tenant
from shared.security.keys import Scope
from tests.databases import own_database
from tests.environment import PEPPER, environment

ROOT = Path(__file__).parents[2]
MODEL = "gpt-4.1-mini"
STARTING = 60.0
"""Seconds until a process is there, on a machine that does other things, too."""
NUMBERS = count()


def job_body(prompt: str = "Why?", **changes: Any) -> dict[str, Any]:
    """A small job as a client asks for it."""
    messages = [{"role": "user", "content": prompt}]
    return {"request": {"model": MODEL, "messages": messages}, **changes}


def eventually(check: Callable[[], Any], what: str, *, within: float = 20.0) -> Any:
    """Poll until the answer is true."""
    deadline = time.monotonic() + within
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.05)
    return answer


@dataclass(frozen=True, slots=True)
class Api:
    """A running API and what a test needs beside it."""

    url: str
    database_url: str
    key: str
    other_key: str
    catalog: Path
    """The file that PROMPTMILL_CATALOG names; empty at a test's start."""

    def client(self, key: str | None = None, **options: Any) -> httpx2.Client:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30.0, **options)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Rows of a statement, committed."""
        url = self.database_url.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


async def make_key(database_url: str, tenant: str, *scopes: Scope) -> str:
    """A key of that tenant, the tenant with it."""
    database = Database(database_url)
    async with database.transaction() as connection:
        tenant_id = await ensure_tenant(connection, tenant)
        key = await create_key(
            connection,
            tenant_id,
            name="test",
            scopes=scopes or (Scope.JOBS_READ, Scope.JOBS_WRITE),
            environment="test",
            pepper=SecretStr(PEPPER),
        )
    await database.close()
    return key.plaintext.get_secret_value()


def hire(api: Api, *queues: str, name: str = "wrk_1", **missing: str) -> None:
    """A living worker that takes these queues and cannot call those providers, and why."""
    api.sql(
        "INSERT INTO workers (id, host, pid, queues, missing, capacity, state, lease_until)"
        " VALUES (%s, 'h', 1, %s, %s, 9, 'alive', clock_timestamp() + interval '1 hour')",
        name,
        list(queues),
        Jsonb(missing),
    )


EMPTY = """
TRUNCATE tenants, api_keys, jobs, attempts, workers, providers,
  idempotency_keys, ledger, events
CASCADE
"""


def emptied(api: Api) -> bool:
    """Empty the tables; False where what the process does of itself came in between."""
    try:
        api.sql(EMPTY)
    except psycopg.errors.DeadlockDetected:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Served:
    """An API process and the database behind it."""

    url: str
    database_url: str
    catalog: Path


@pytest.fixture(scope="module")
def api_settings() -> dict[str, str]:
    """Variables of the process; a module that needs others has a fixture of this name."""
    return {}


@contextmanager
def serving(folder: Path, environ: dict[str, str]) -> Iterator[str]:
    """A process of the API until the end of the block: its URL."""
    log_path = folder / "api.log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "api.main:create", "--factory",
             "--port", str(port), "--log-level", "warning"],
            cwd=ROOT, env=environ, stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def alive() -> bool:
        assert process.poll() is None, log_path.read_text()
        try:
            return httpx2.get(f"{url}/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    try:
        eventually(alive, "the API answers", within=STARTING)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def served(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory, api_settings: dict[str, str]
) -> Iterator[Served]:
    """One process for the tests of a module: to start one takes longer than most of them."""
    folder = tmp_path_factory.mktemp("api")
    catalog = folder / "catalog.toml"
    catalog.write_text("")
    with own_database(servers, f"api_{next(NUMBERS)}") as database_url:
        more = {"PROMPTMILL_CATALOG": str(catalog), **api_settings}
        with serving(folder, environment(database_url, servers.redis_url, **more)) as url:
            yield Served(url, database_url, catalog)


@pytest.fixture
def api(served: Served, redis_url: str) -> Api:
    """The module's API with nothing in it but two tenants, and an emptied Valkey."""
    assert redis_url
    url = served.database_url
    empty = Api(served.url, url, "", "", served.catalog)
    eventually(lambda: emptied(empty), "the tables are empty")
    key, other = (asyncio.run(make_key(url, tenant)) for tenant in ("one", "two"))
    return replace(empty, key=key, other_key=other)


@pytest.fixture
def operator(api: Api) -> str:
    """A key of the first tenant that may do everything."""
    return asyncio.run(make_key(api.database_url, "one", *Scope))
