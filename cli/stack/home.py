"""The folder that holds one local stack: its data, sockets, logs, state and lock."""

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from cli.stack.account import Account
from cli.stack.errors import AlreadyRunningError, StackError

LONGEST_SOCKET_FOLDER: Final = 100 - len("/.s.PGSQL.5432")
LEAVING: Final = 20.0
"""Seconds that the servers of a dead launcher get to leave."""
POLL: Final = 0.05


class ServiceState(BaseModel):
    """One child as last seen by its supervisor."""

    model_config = ConfigDict(frozen=True)

    status: str
    pid: int | None = None
    since: float | None = None
    """Unix time of its start, seconds."""
    restarts: int = 0
    why: str = ""
    """Of a failing one: how its last child ended, and the last lines of its log."""


class State(BaseModel):
    """What a command must know to find the running stack; holds secrets."""

    model_config = ConfigDict(frozen=True)

    pid: int | None = None
    """The launcher; None when nothing runs."""
    since: float | None = None
    database_url: str | None = None
    redis_url: str | None = None
    valkey_port: int | None = None
    valkey_password: str | None = None
    services: dict[str, ServiceState] = {}
    extra: dict[str, JsonValue] = {}
    """Whatever else the commands want to find again: ports, keys, a pepper."""


@dataclass(frozen=True, slots=True)
class HomeLock:
    """The right to run a stack here; it lasts until every process that holds `fd` has gone."""

    fd: int

    def release(self) -> None:
        """Give up this process's share."""
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Home:
    """One stack's folder; nothing is made before `create`."""

    root: Path

    @property
    def logs(self) -> Path:
        """One file per child."""
        return self.root / "logs"

    @property
    def valkey(self) -> Path:
        """Valkey's data and configuration."""
        return self.root / "valkey"

    @property
    def state_file(self) -> Path:
        """The state, readable by the owner alone."""
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        """The file that is locked; it tells the pid of the launcher."""
        return self.root / "lock"

    def postgres(self, major: int) -> Path:
        """The data directory of a Postgres major."""
        return self.root / f"pg{major}"

    def log(self, name: str) -> Path:
        """The log of the child of that name."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the folder; root's may be passed through by the account of the servers.

        A folder that is there keeps its mode: what is secret inside has modes of its own.
        """
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True)
                self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            message = (
                f"the folder {self.root} cannot be used ({error.strerror}): "
                "set PROMPTMILL_HOME to a folder of yours"
            )
            raise StackError(message) from None

    @property
    def socket_folder(self) -> Path:
        """Where Postgres' socket lies.

        A socket's path may have about 100 bytes, so a deep home gets a folder in /tmp.
        """
        folder = self.root / "run"
        if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
            return folder
        mark = sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(f"/tmp/promptmill-{os.geteuid()}-{mark}")  # noqa: S108  # `sockets` asks whose

    def sockets(self, account: Account) -> Path:
        """The socket's folder, made for this account and closed to all others."""
        folder = self.socket_folder
        if not folder.is_symlink():
            account.give(folder)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != account.owner or facts.st_mode & 0o77:
            message = f"{folder} belongs to somebody else: remove it, or set PROMPTMILL_HOME"
            raise StackError(message)
        return folder

    def take_lock(self, patience: float = LEAVING) -> HomeLock:
        """The lock; AlreadyRunningError when a launcher lives here.

        Servers whose launcher was killed hold it while they leave: that is waited for.
        """
        fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = _pid_in(fd)
                if _lives(holder) or time.monotonic() > deadline:
                    os.close(fd)
                    raise AlreadyRunningError(self._occupied(holder)) from None
                time.sleep(POLL)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return HomeLock(fd)

    def launcher(self) -> int | None:
        """The pid of the launcher that runs here now, or None."""
        return next((pid for pid in self._holders() if _lives(pid)), None)

    def is_orphaned(self) -> bool:
        """Whether servers still hold it whose launcher has died."""
        return any(not _lives(pid) for pid in self._holders())

    def _holders(self) -> list[int | None]:
        """Who holds the lock, as the file tells it: one or none."""
        try:
            fd = os.open(self.lock_file, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return [_pid_in(fd)]
        finally:
            os.close(fd)
        return []

    def read_state(self) -> State:
        """The state as last written; an empty one when there is none."""
        try:
            return State.model_validate_json(self.state_file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return State()
        except PermissionError:
            message = f"{self.state_file} belongs to another user: run this as its owner"
            raise StackError(message) from None
        except ValidationError:
            message = f"{self.state_file} cannot be understood: remove it, the data stays"
            raise StackError(message) from None

    def write_state(self, state: State) -> None:
        """Replace the state at once, readable by the owner alone."""
        fd, name = tempfile.mkstemp(dir=self.root, prefix=".state-")
        try:
            with os.fdopen(fd, "w") as file:
                file.write(state.model_dump_json(indent=2) + "\n")
            Path(name).replace(self.state_file)
        except BaseException:
            Path(name).unlink()
            raise

    def update_state(self, **changes: object) -> State:
        """Write the state with some fields changed."""
        state = State.model_validate({**self.read_state().model_dump(), **changes})
        self.write_state(state)
        return state

    def _occupied(self, holder: int | None) -> str:
        if _lives(holder):
            return (
                f"already running here (pid {holder}, {self.root}): stop it first, "
                "or set PROMPTMILL_HOME to another folder"
            )
        return f"servers of a launcher that died still hold {self.root}: wait, or end them"


def _pid_in(fd: int) -> int | None:
    with contextlib.suppress(ValueError):
        return int(os.pread(fd, 32, 0))
    return None


def _lives(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):  # a zombie, where /proc tells it, lives no more
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return True
