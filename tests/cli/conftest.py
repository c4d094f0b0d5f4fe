"""The command as a user starts it: a process, a folder, a home of the test's own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.stack.servers import Servers
from tests.databases import TEMPLATE
from tests.environment import FROM_OUTSIDE

PATIENCE = 60.0


def eventually(what: str, check: Callable[[], Any], *, within: float = PATIENCE) -> Any:
    """Poll until the answer is true."""
    deadline = time.monotonic() + within
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.05)
    return answer


@dataclass
class Command:
    """`promptmill` in a folder of its own."""

    folder: Path
    home: Path
    environ: dict[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(
        self, *arguments: str, typed: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end; what is typed is its stdin."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.folder,
            env={**self.environ, **environ},
            input=typed,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it and go on."""
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def write(self, name: str, rows: list[dict[str, Any]]) -> Path:
        """A JSONL file in the folder."""
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def read(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def state(self) -> dict[str, Any]:
        """What the home remembers."""
        path = self.home / "state.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def pids(self) -> list[int]:
        """The children that the running stack has."""
        services = self.state().get("services", {})
        return [service["pid"] for service in services.values() if service["pid"]]

    def slow(self, per_minute: int) -> None:
        """Let the simulator take only so many requests a minute."""
        overlay = self.folder / "slow.toml"
        overlay.write_text(f"[limits.simulator]\nrequests = {per_minute}\n")
        self.environ["PROMPTMILL_CATALOG"] = str(overlay)


@pytest.fixture
def promptmill(tmp_path: Path, servers: Servers) -> Iterator[Command]:
    """A command whose stack starts servers of its own."""
    assert servers.database_url  # keeps the session's servers out of the measured start
    command = Command(tmp_path, tmp_path / "home", clean_environment(tmp_path))
    yield command
    for process in command.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def light(tmp_path: Path) -> Command:
    """A command that is not expected to start anything."""
    return Command(tmp_path, tmp_path / "home", clean_environment(tmp_path))


@pytest.fixture
def on_servers(promptmill: Command, servers: Servers, redis_url: str) -> Iterator[Command]:
    """A command whose stack uses the session's servers: DATABASE_URL and REDIS_URL are given."""
    url = servers.create_database("cli", template=TEMPLATE)
    promptmill.environ |= {"DATABASE_URL": url, "REDIS_URL": redis_url}
    yield promptmill
    for process in promptmill.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    servers.drop_database("cli")


def clean_environment(folder: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in FROM_OUTSIDE if name in os.environ}
    return {**inherited, "PROMPTMILL_HOME": str(folder / "home"), "HOME": str(folder)}


def sql(url: str, statement: str) -> list[Any]:
    """Rows of a statement."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(statement).fetchall()


SCARCE = "gpt-4.1-nano"
"""Of this model a serving stack answers no rehearsal for an hour: what is asked waits."""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[Command]:
    """A command whose stack is up, with the simulator, for all tests of a module."""
    folder = tmp_path_factory.mktemp("serving")
    url = servers.create_database("serving", template=TEMPLATE)
    overlay = folder / "scarce.toml"
    overlay.write_text(f'[limits."simulator/{SCARCE}"]\nrequests = 1\nwindow = 3600\n')
    given = {
        "DATABASE_URL": url,
        "REDIS_URL": servers.redis_url,
        "PROMPTMILL_CATALOG": str(overlay),
    }
    command = Command(folder, folder / "home", {**clean_environment(folder), **given})
    up = command.start("up", "--simulator")
    try:
        eventually("the stack is up", lambda: command.state().get("extra", {}).get("ready"))
        yield command
    finally:
        up.terminate()
        up.communicate(timeout=60)
        servers.drop_database("serving")
