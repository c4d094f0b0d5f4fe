"""Launchers in processes of their own, and how the tests look at processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
import pytest

from cli.stack.account import Account, can_run

REPOSITORY: Final = Path(__file__).parents[2]
SITE_PACKAGES: Final = Path(psycopg.__file__).parents[1]
"""Where our own imports come from; another interpreter must be told."""
PATIENCE: Final = 15.0
NOBODY: Final = 65534
WITHOUT_ENTRY: Final = 12345
"""A uid that has no line in the passwd file."""

WHOLE_STACK: Final = """
import asyncio
from cli.stack.home import Home
from cli.stack.options import read_options
from cli.stack.servers import Servers
from cli.stack.supervisor import Supervisor
from shared.domain.errors import PromptmillError

def tell(*words):
    print(*words, flush=True)

try:
    options = read_options()
    home = Home(options.home)
    home.create()
    lock = home.take_lock()
    tell("locked")
    servers = Servers(options, lock, postgres_settings={"fsync": "off"})
    servers.prepare()
    supervisor = Supervisor(
        servers.services(), home, lambda seen: tell(seen.name, seen.status, seen.pid)
    )
    def ready():
        tell("pids", *(seen.pid for seen in supervisor.status()))
        tell("database", servers.database_url)
        tell("redis", servers.redis_url)
    asyncio.run(supervisor.run(ready))
    tell("over")
except PromptmillError as error:
    tell("error", error)
"""


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Look until it is so; fail with `what` when the patience is over."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not in {patience:g} s: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs under this number; a zombie does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def environment_of(pid: int) -> str:
    """What a process was started with: its argv and its variables."""
    folder = Path(f"/proc/{pid}")
    return (folder / "cmdline").read_text() + (folder / "environ").read_text()


def interpreter_for(account: Account) -> Path:
    """A Python of our version that the account can run: ours may lie in a closed folder."""
    system = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    for candidate in (Path(sys.executable), system):
        if can_run(account, candidate, "--version"):
            return candidate
    return pytest.skip(f"uid {account.uid} can run no Python of this version")


@dataclass
class Launcher:
    """A Python program in a process of its own, whose lines can be awaited."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    def line(self, start: str) -> str:
        """The rest of the next line that starts so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith(start):
                return line.removeprefix(start).strip()
        return pytest.fail(f"no line {start!r}, but: {self.lines}")

    def pids(self, start: str = "pids") -> list[int]:
        """The numbers in the next line that starts so."""
        return [int(word) for word in self.line(start).split()]

    def rest(self) -> list[str]:
        """All lines until its end."""
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)
        self.process.wait(PATIENCE)
        return self.lines


class Launchers:
    """Starts launchers, and kills those that are left."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self,
        program: str,
        *arguments: object,
        uid: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Launcher:
        """Run `python -c program` with arguments and variables, perhaps as another uid."""
        account = Account(uid, uid)
        path = os.pathsep.join((str(REPOSITORY), str(SITE_PACKAGES)))
        process = subprocess.Popen(
            [interpreter_for(account), "-c", program, *map(str, arguments)],
            cwd=REPOSITORY,
            env={"PATH": os.defpath, "PYTHONPATH": path, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **account.popen_options(),
        )
        self._started.append(process)
        return Launcher(process)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
