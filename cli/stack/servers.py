"""The two databases together: beside the supervisor's children, or alone for a test session."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from cli.stack import postgres, valkey
from cli.stack.account import choose_account
from cli.stack.bin_cache import runnable_postgres, runnable_valkey
from cli.stack.binaries import find_postgres, find_valkey
from cli.stack.child import Child, Command, Escalation, last_lines, reaper, spawn
from cli.stack.errors import StackError, StartError
from cli.stack.home import Home, HomeLock
from cli.stack.options import ROOT_HOME, StackOptions, read_options
from cli.stack.postgres import PostgresServer
from cli.stack.service import Ready, Service
from cli.stack.valkey import ValkeyServer

START_TIMEOUT: Final = 30.0
POLL: Final = 0.01
ATTEMPTS: Final = 5
PAUSE: Final = 0.2
CARELESS: Final = {"fsync": "off", "full_page_writes": "off"}
"""For data that need not outlive the machine. Commits stay synchronous: a test that kills
Postgres must find again what was committed."""


class Servers:
    """Postgres and Valkey of one home; one that a URL names is not ours and is never started.

    `prepare` finds the binaries and makes the data directories; then either the supervisor
    runs `services()`, or `start` and `stop` do it here, blocking.
    """

    def __init__(
        self,
        options: StackOptions,
        lock: HomeLock,
        *,
        postgres_settings: Mapping[str, str] | None = None,
        valkey_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home: Final = Home(options.home)
        self._options = options
        self._lock = lock
        self._postgres: PostgresServer | None = None
        self._valkey: ValkeyServer | None = None
        self._postgres_settings = postgres_settings or {}
        self._valkey_settings = valkey_settings or {}
        self._children: dict[str, Child] = {}

    @property
    def database_url(self) -> str:
        """The product's database, given or ours."""
        return self._options.database_url or self._our_postgres().url()

    @property
    def redis_url(self) -> str:
        """The broker, given or ours."""
        return self._options.redis_url or self._our_valkey().url

    def prepare(self) -> None:
        """Everything that is done before the first start; blocks about a second at most."""
        options, home = self._options, self.home
        if options.database_url and options.redis_url:
            return
        account = choose_account(home.root, options.pg_user)
        cache = (ROOT_HOME if os.geteuid() == 0 else home.root) / "bin-cache"
        if not options.database_url:
            binaries = runnable_postgres(find_postgres(options), account, cache)
            self._postgres = PostgresServer(
                home, binaries, account, settings=self._postgres_settings
            )
            self._postgres.prepare(self._lock.fd)
        if not options.redis_url:
            binary = runnable_valkey(find_valkey(options), account, cache)
            self._valkey = ValkeyServer(home, binary, account, settings=self._valkey_settings)
            self._valkey.prepare()
        home.update_state(database_url=self.database_url, redis_url=self.redis_url)

    def services(self) -> tuple[Service, ...]:
        """What the supervisor runs: postgres and valkey, but for those that a URL names."""
        return tuple(
            Service(name=name, command=command, ready=_awaitable(ready), stop=stop)
            for name, command, ready, stop in self._ours()
        )

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database in our Postgres, perhaps as a copy; gives its URL."""
        return self._our_postgres().create_database(name, template)

    def drop_database(self, name: str) -> None:
        """Drop a database of our Postgres with whoever is connected to it."""
        self._our_postgres().drop_database(name)

    def start(self) -> None:
        """Start what is not running and wait until it is ready; blocks, main thread only."""
        started = [self._spawn(name) for name, *_ in self._ours() if not self._runs(name)]
        for name in started:
            try:
                self._await_ready(name)
            except StartError:
                if name != valkey.NAME or valkey.is_free(self._our_valkey().port):
                    raise
                self._our_valkey().prepare()  # somebody was faster to take the port
                self._await_ready(self._spawn(name))

    def stop(self) -> None:
        """Stop what is running, Postgres first; blocks."""
        for name, _, _, escalation in self._ours():
            if child := self._children.pop(name, None):
                child.stop(escalation)

    def start_postgres(self) -> None:
        """Start Postgres again after it was killed or stopped."""
        self._restart(postgres.NAME)

    def start_valkey(self) -> None:
        """Start Valkey again after it was killed or stopped, at the same port."""
        self._restart(valkey.NAME)

    def restart_valkey(self) -> None:
        """Kill Valkey and start it again; what its file holds comes back."""
        self.kill_valkey()
        self.start_valkey()

    def kill_postgres(self, *, immediate: bool = True) -> None:
        """SIGKILL to the postmaster, or the fast stop; returns when it is gone."""
        child = self._child(postgres.NAME)
        child.stop(() if immediate else postgres.FAST_STOP)

    def kill_valkey(self) -> None:
        """SIGKILL to Valkey; returns when it is gone."""
        self._child(valkey.NAME).stop(())

    def empty_valkey(self) -> None:
        """Kill Valkey, take all its data away and start it again: total loss."""
        self.kill_valkey()
        for data in self.home.valkey.glob("appendonly*"):
            shutil.rmtree(data) if data.is_dir() else data.unlink()
        self.start_valkey()

    def pause_postgres(self) -> None:
        """SIGSTOP to all of Postgres: connections stand, every statement hangs."""
        self._child(postgres.NAME).send_family(signal.SIGSTOP)

    def resume_postgres(self) -> None:
        """SIGCONT after `pause_postgres`."""
        self._child(postgres.NAME).send_family(signal.SIGCONT)

    def pause_valkey(self) -> None:
        """SIGSTOP: every command hangs."""
        self._child(valkey.NAME).send(signal.SIGSTOP)

    def resume_valkey(self) -> None:
        """SIGCONT after `pause_valkey`."""
        self._child(valkey.NAME).send(signal.SIGCONT)

    @classmethod
    @contextmanager
    def temporary(
        cls,
        *,
        fsync: bool = False,
        postgres_settings: Mapping[str, str] | None = None,
        valkey_settings: Mapping[str, str] | None = None,
    ) -> Iterator[Self]:
        """Both servers in a folder of their own, gone afterwards, even if we are killed.

        `DATABASE_URL` and `REDIS_URL` count for nothing here: tests get servers of their own.
        """
        with _temporary_home() as root:
            options = replace(read_options(), home=root, database_url=None, redis_url=None)
            home = Home(root)
            home.create()
            lock = home.take_lock()
            servers = cls(
                options,
                lock,
                postgres_settings={**({} if fsync else CARELESS), **(postgres_settings or {})},
                valkey_settings=valkey_settings,
            )
            try:
                servers.prepare()
                servers.start()
                yield servers
            finally:
                servers.stop()
                lock.release()

    def _ours(self) -> Iterator[tuple[str, Command, Callable[[], bool], Escalation]]:
        if server := self._postgres:
            yield (
                postgres.NAME,
                server.command(self._lock.fd),
                server.is_ready,
                postgres.FAST_STOP,
            )
        if broker := self._valkey:
            yield valkey.NAME, broker.command(self._lock.fd), broker.is_ready, valkey.STOP

    def _our_postgres(self) -> PostgresServer:
        if self._postgres is None:
            message = "this Postgres is not ours: DATABASE_URL names it"
            raise StackError(message)
        return self._postgres

    def _our_valkey(self) -> ValkeyServer:
        if self._valkey is None:
            message = "this Valkey is not ours: REDIS_URL names it"
            raise StackError(message)
        return self._valkey

    def _child(self, name: str) -> Child:
        if name not in self._children:
            message = f"{name} was not started here"
            raise StackError(message)
        return self._children[name]

    def _runs(self, name: str) -> bool:
        return name in self._children and self._children[name].returncode is None

    def _spawn(self, name: str) -> str:
        command = next(command for known, command, *_ in self._ours() if known == name)
        self._children[name] = spawn(command, self.home.log(name))
        return name

    def _restart(self, name: str) -> None:
        for attempt in range(ATTEMPTS):
            if self._runs(name):
                return
            try:
                self._await_ready(self._spawn(name))
            except StartError:  # backends of a killed postmaster may still be leaving
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(PAUSE)

    def _await_ready(self, name: str) -> None:
        ready = next(ready for known, _, ready, _ in self._ours() if known == name)
        child, deadline = self._children[name], time.monotonic() + START_TIMEOUT
        while not ready():
            if child.returncode is not None or time.monotonic() > deadline:
                how = "ended" if child.returncode is not None else "is not ready"
                message = f"{name} {how}; its log ends:\n{last_lines(self.home.log(name))}"
                raise StartError(message)
            time.sleep(POLL)


def _awaitable(check: Callable[[], bool]) -> Ready:
    async def ready() -> bool:
        return await asyncio.to_thread(check)

    return ready


@contextmanager
def _temporary_home() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="promptmill-test-"))
    root.chmod(0o711)  # the account of the servers must pass
    folders = (root, Home(root).socket_folder)
    for folder in folders:
        reaper().remove(folder)
    try:
        yield root
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
