"""The API as a process of its own, a client with a key, and a second tenant."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from pydantic import SecretStr

from shared.db.engine import Database
from shared.db.tenants import create_key, ensure_tenant
from shared.security.keys import Scope
from tests.environment import PEPPER

ROOT = Path(__file__).parents[2]
MODEL = "gpt-4.1-mini"


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


@pytest.fixture
def api(environ: dict[str, str], database_url: str, tmp_path: Path) -> Iterator[Api]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "api.main:create", "--factory", "--port", str(port),
             "--log-level", "warning"],
            cwd=ROOT, env=environ, stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def alive() -> bool:
        assert process.poll() is None, (tmp_path / "api.log").read_text()
        try:
            return httpx2.get(f"{url}/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    try:
        eventually(alive, "the API answers")
        key = asyncio.run(make_key(database_url, "one"))
        other = asyncio.run(make_key(database_url, "two"))
        yield Api(url, database_url, key, other)
    finally:
        process.terminate()
        process.wait(20)
