"""A running stack behind its door: the API, a worker, providers that bill nobody, and SDKs."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import psycopg
import pytest
import redis

from cli.stack.servers import Servers
from shared.security.keys import Scope
from tests.api.conftest import make_key
from tests.databases import own_database
from tests.environment import environment
from tests.mill import ONE_WIRE, QUICK_LEASES, ROOT, UNLIMITED

MODEL = "gpt-4.1-mini"
CLAUDE = "claude-haiku-4-5"
TENANT = "one"
PATIENCE = 30.0
STARTING = 120.0
"""Seconds until a process is there, on a busy machine."""
LATENCY_MS = 30
AT_THE_SIMULATOR = """
[providers.openai]
base_url = "{url}/v1"
[providers.anthropic]
base_url = "{url}/anthropic"
[limits.openai]
requests = 0
tokens = 0
[limits.anthropic]
requests = 0
tokens = 0
"""
"""The providers' own names, for clients that know nothing of rehearsals."""
PROVIDER_KEYS = {"OPENAI_API_KEY": "sk-of-nobody", "ANTHROPIC_API_KEY": "sk-ant-of-nobody"}
QUEUES = "openai,anthropic,simulator,upkeep"
NUMBERS = count()


def until(what: str, check: Callable[[], Any], *, within: float = PATIENCE) -> Any:
    """Poll until the answer is true."""
    deadline = time.monotonic() + within
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.05)
    return answer


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Stack:
    """Simulator, worker and API as processes; SDKs are its clients."""

    folder: Path
    environ: dict[str, str]
    redis_url: str
    key: str = ""
    other_key: str = ""
    """Of another tenant."""
    port: int = field(default_factory=free_port)
    simulator_url: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the API listens, before and after a restart."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        return self.environ["DATABASE_URL"]

    def sdk(self, key: str | None = None, **options: Any) -> openai.OpenAI:
        """The unmodified SDK at this stack."""
        known = {"base_url": f"{self.url}/v1", "timeout": PATIENCE}
        return openai.OpenAI(api_key=key or self.key, **{**known, **options})

    def async_sdk(self, **options: Any) -> openai.AsyncOpenAI:
        """The same, asynchronous."""
        known = {"base_url": f"{self.url}/v1", "timeout": PATIENCE}
        return openai.AsyncOpenAI(api_key=self.key, **{**known, **options})

    def claude(self, key: str | None = None, **options: Any) -> anthropic.Anthropic:
        """Anthropic's unmodified SDK at this stack."""
        known = {"base_url": self.url, "timeout": PATIENCE}
        return anthropic.Anthropic(api_key=key or self.key, **{**known, **options})

    def http(self, key: str | None = None) -> httpx2.Client:
        """A client without an SDK's manners."""
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=PATIENCE)

    def new_key(self, tenant: str, *scopes: Scope) -> str:
        """A key of that tenant, the tenant with it."""
        return asyncio.run(make_key(self.database_url, tenant, *scopes))

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Rows of a statement, committed."""
        url = self.database_url.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def script(self, *rules: dict[str, Any]) -> None:
        """How the providers misbehave from now on; see `python -m simulator --help`."""
        httpx2.post(f"{self.simulator_url}/_sim/script", json=list(rules)).raise_for_status()

    def billed(self, prompt: str) -> list[dict[str, Any]]:
        """The jobs' calls that providers have been asked with this prompt, as sent."""
        rows = self.sql(
            "SELECT attempts.id, attempts.state FROM attempts"
            " JOIN payloads ON payloads.job_id = attempts.job_id"
            " WHERE payloads.request::text LIKE %s AND sent_at IS NOT NULL",
            f"%{prompt}%",
        )
        return [{"id": row[0], "state": row[1]} for row in rows]

    def jobs(self, prompt: str) -> list[str]:
        """The jobs that were made of requests with this in them."""
        rows = self.sql("SELECT job_id FROM payloads WHERE request::text LIKE %s", f"%{prompt}%")
        return [row[0] for row in rows]

    def spawn(self, name: str, argv: Sequence[str], **environ: str) -> subprocess.Popen[bytes]:
        """A process of the stack; its output is in the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *argv],
                cwd=ROOT,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes[name] = process
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-4000:]

    def start_simulator(self) -> None:
        ready = self.folder / "simulator.url"
        flags = {"port": 0, "ready-file": ready, "latency-ms": LATENCY_MS, "seed": 7}
        flags["ledger"] = self.folder / "ledger.jsonl"
        argv = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        self.spawn("simulator", ["simulator", *argv])
        self.simulator_url = until(
            "the simulator listens", lambda: _content(ready), within=STARTING
        )
        self.environ["PROMPTMILL_SIMULATOR_URL"] = self.simulator_url
        overlay = UNLIMITED + ONE_WIRE + AT_THE_SIMULATOR.format(url=self.simulator_url)
        (self.folder / "catalog.toml").write_text(overlay)

    def start_worker(self) -> None:
        """Start it; whoever needs it waits with `ready`."""
        argv = ["celery", "-q", "-A", "worker.main", "worker", "-P", "custom", "-l", "WARNING"]
        argv += ["-c", "100", "-Q", QUEUES, "-n", "worker@test"]
        self.spawn("worker", argv, **PROVIDER_KEYS)

    def start_api(self) -> None:
        """Start it again at the same address, too."""
        argv = ["uvicorn", "api.main:create", "--factory", "--log-level", "warning"]
        api = self.spawn("api", [*argv, "--port", str(self.port)])

        def alive() -> bool:
            assert api.poll() is None, self.log("api")
            try:
                return httpx2.get(f"{self.url}/healthz").status_code == 200
            except httpx2.TransportError:
                return False

        until("the API answers", alive, within=STARTING)

    def kill(self, name: str) -> None:
        """As the kernel would."""
        self.processes[name].kill()
        self.processes[name].wait()

    def end(self, name: str) -> None:
        """As an operator would."""
        self.processes[name].terminate()
        self.processes[name].wait(STARTING)

    def ready(self) -> None:
        """The worker has registered."""
        worker = self.processes["worker"]

        def registered() -> bool:
            assert worker.poll() is None, self.log("worker")
            return bool(self.sql("SELECT 1 FROM workers WHERE pid = %s", worker.pid))

        until("the worker registers", registered, within=STARTING)

    def stop(self) -> None:
        """Every process of it ends."""
        for process in self.processes.values():
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
            process.wait()


def _content(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


@pytest.fixture(scope="module")
def stack(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """One stack for the tests of a module; its `SETTINGS` are variables of all processes."""
    folder = tmp_path_factory.mktemp("sdk")
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    with own_database(servers, f"sdk_{next(NUMBERS)}") as database_url:
        environ = environment(
            database_url,
            servers.redis_url,
            CELERY_CUSTOM_WORKER_POOL="worker.pool:AsyncioPool",
            PROMPTMILL_CATALOG=str(folder / "catalog.toml"),
            **QUICK_LEASES,
            **getattr(request.module, "SETTINGS", {}),
        )
        running = Stack(folder, environ, servers.redis_url)
        try:
            running.start_simulator()
            running.start_worker()
            running.start_api()
            running.key, running.other_key = running.new_key(TENANT), running.new_key("two")
            running.ready()
            yield running
        finally:
            running.stop()


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK with a key."""
    stack.script()
    with stack.sdk() as client:
        yield client


@pytest.fixture
def claude(stack: Stack) -> Iterator[anthropic.Anthropic]:
    """Anthropic's SDK with a key."""
    stack.script()
    with stack.claude() as client:
        yield client


def ledger_of(stack: Stack) -> list[dict[str, Any]]:
    """What the providers would bill, call by call."""
    path = stack.folder / "ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
