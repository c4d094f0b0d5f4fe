"""Runs one Postgres on a unix socket: data directory, readiness, databases, stop."""

import signal
import subprocess
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from cli.stack.account import Account, run_as
from cli.stack.binaries import PostgresBinaries
from cli.stack.child import Command, Escalation
from cli.stack.errors import StackError
from cli.stack.home import Home

NAME: Final = "postgres"
ROLE: Final = "promptmill"
DATABASE: Final = "promptmill"
PORT: Final = 5432
"""Names the socket; nothing listens on the network."""
FIRST_BUILTIN_LOCALE: Final = 17
FIRST_IO_METHOD: Final = 18
FAST_STOP: Final[Escalation] = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))
"""SIGTERM would wait for the clients."""
ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
    "log_checkpoints": "off",
}


class PostgresServer:
    """One server in a home, reached by its unix socket without a password."""

    def __init__(
        self,
        home: Home,
        binaries: PostgresBinaries,
        account: Account,
        *,
        settings: Mapping[str, str],
    ) -> None:
        self._home = home
        self._binaries = binaries
        self._account = account
        method = {"io_method": "sync"} if binaries.major >= FIRST_IO_METHOD else {}
        self._settings = {**SETTINGS, **method, **settings}
        self._data = home.postgres(binaries.major)
        self._sockets = home.sockets(account)

    def url(self, database: str = DATABASE) -> str:
        """The URL of a database, as SQLAlchemy takes it."""
        folder = quote(str(self._sockets), safe="/")
        return f"postgresql+psycopg://{ROLE}@/{quote(database)}?host={folder}&port={PORT}"

    def prepare(self, lock_fd: int) -> None:
        """Make the data directory unless there is one; refuse that of another major or owner.

        `initdb` shares the home's lock, so that it is never met by the next launcher.
        """
        self._refuse_other_major()
        if self._data.exists():
            self._refuse_other_owner()
            return
        fresh = self._data.with_suffix(".new")
        if fresh.exists():  # an initdb that was killed
            run_as(self._account, ["/bin/rm", "-rf", str(fresh)])
        self._account.give(fresh)
        try:
            run_as(self._account, self._initdb(str(fresh)), (lock_fd,))
        except subprocess.CalledProcessError as error:
            message = f"initdb failed in {fresh}:\n{error.output.strip()}"
            raise StackError(message) from None
        fresh.rename(self._data)

    def command(self, lock_fd: int) -> Command:
        """How to start it; it shares the home's lock."""
        program = (str(self._binaries.postgres), "-D", str(self._data), "-k", str(self._sockets))
        settings = [word for item in self._settings.items() for word in ("-c", "=".join(item))]
        return Command(
            argv=(*program, *settings),
            env=ENVIRONMENT,
            account=self._account,
            death_signal=signal.SIGINT,
            kept_fds=(lock_fd,),
        )

    def is_ready(self) -> bool:
        """Whether it takes connections; the product's database is made on the first."""
        try:
            with self._connect() as connection:
                found = connection.execute(
                    "select from pg_database where datname = %s", (DATABASE,)
                ).fetchone()
                if found is None:
                    connection.execute(_create(DATABASE, None))
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, perhaps as a copy of one that nobody is connected to; gives its URL."""
        with self._connect() as connection:
            connection.execute(_create(name, template))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, if it exists, with whoever is connected to it."""
        with self._connect() as connection:
            statement = sql.SQL("drop database if exists {} with (force)")
            connection.execute(statement.format(sql.Identifier(name)))

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self._sockets),
            port=PORT,
            user=ROLE,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )

    def _initdb(self, folder: str) -> list[str]:
        locale = ["--locale=C.UTF-8"]
        if self._binaries.major >= FIRST_BUILTIN_LOCALE:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        plain = ["-U", ROLE, "--auth=trust", "--encoding=UTF8", *locale]
        hurried = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        return [str(self._binaries.initdb), "-D", folder, *plain, *hurried]

    def _refuse_other_major(self) -> None:
        ours = self._binaries.major
        folders = [self._data] if self._data.exists() else sorted(self._home.root.glob("pg[0-9]*"))
        for folder in folders:
            mark = folder / "PG_VERSION"
            theirs = mark.read_text().strip() if mark.exists() else None
            if theirs not in {None, str(ours)}:
                message = (
                    f"the data in {folder} is of Postgres {theirs}, but the server found is "
                    f"Postgres {ours} ({self._binaries.folder}): set PROMPTMILL_PG_BIN to the "
                    f"bin folder of a Postgres {theirs}, or dump the data with it, move the "
                    "folder away, start anew and restore"
                )
                raise StackError(message)

    def _refuse_other_owner(self) -> None:
        owner = self._data.stat().st_uid
        if owner != self._account.owner:
            message = (
                f"the data in {self._data} belongs to uid {owner}, but the server would run as "
                f"uid {self._account.owner}: as root, set PROMPTMILL_PG_USER to the account of "
                f"uid {owner}; otherwise run this as that user, or set PROMPTMILL_HOME"
            )
            raise StackError(message)


def _create(name: str, template: str | None) -> sql.Composed:
    if template is None:
        return sql.SQL("create database {}").format(sql.Identifier(name))
    statement = sql.SQL("create database {} template {} strategy file_copy")
    return statement.format(sql.Identifier(name), sql.Identifier(template))
