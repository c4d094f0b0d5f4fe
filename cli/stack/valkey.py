"""Runs one Valkey (or Redis) on the loopback: configuration, readiness, stop."""

import secrets
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cli.stack.account import Account
from cli.stack.child import Command, Escalation
from cli.stack.home import Home

NAME: Final = "valkey"
HOST: Final = "127.0.0.1"
STOP: Final[Escalation] = ((signal.SIGTERM, 10.0),)
ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
SETTINGS: Final = {
    "bind": HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
    "logfile": "",
}


class ValkeyServer:
    """One server in a home; port and password are remembered in the home's state."""

    def __init__(
        self, home: Home, binary: Path, account: Account, *, settings: Mapping[str, str]
    ) -> None:
        self._home = home
        self._binary = binary
        self._account = account
        self._settings = {**SETTINGS, **settings}
        self.port = 0
        self._password = ""

    @property
    def url(self) -> str:
        """The URL with its password; valid after `prepare`."""
        return f"redis://:{self._password}@{HOST}:{self.port}/0"

    def prepare(self) -> None:
        """Choose port and password (the last ones, if they still do) and write both down."""
        state = self._home.read_state()
        last = state.valkey_port
        self.port = last if last is not None and is_free(last) else free_port()
        self._password = state.valkey_password or secrets.token_urlsafe(24)
        self._account.give(self._home.valkey)
        self._write_configuration()
        self._home.update_state(valkey_port=self.port, valkey_password=self._password)

    def command(self, lock_fd: int) -> Command:
        """How to start it; it shares the home's lock."""
        return Command(
            argv=(str(self._binary), str(self._configuration)),
            env=ENVIRONMENT,
            account=self._account,
            death_signal=signal.SIGTERM,
            kept_fds=(lock_fd,),
        )

    def is_ready(self) -> bool:
        """Whether it answers to the password and has loaded its data; blocks a second at most."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < len(("AUTH", "PING")):
                    piece = connection.recv(256)
                    if not piece:
                        return False
                    answer += piece
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    @property
    def _configuration(self) -> Path:
        return self._home.valkey / "valkey.conf"

    def _write_configuration(self) -> None:
        """The password goes into a file that only the account may read, never into argv."""
        own = {"port": str(self.port), "dir": str(self._home.valkey), "requirepass": self._password}
        lines = [f"{name} {_quoted(value)}\n" for name, value in {**self._settings, **own}.items()]
        path = self._configuration
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text("".join(lines))
        self._account.give_file(path)


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
