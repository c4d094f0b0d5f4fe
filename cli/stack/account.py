"""Whom the servers run as: Postgres refuses to be root, so root lends it another account."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.stack.errors import StackError
from shared.domain.errors import ConfigurationError

OUR_ACCOUNT: Final = "promptmill"
NOBODY: Final = 65534


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group for a child; without them it is ours, perhaps under another name.

    `masked`: ours, but in a user namespace that shows it as nobody.
    """

    uid: int | None = None
    gid: int | None = None
    masked: bool = False

    @property
    def owner(self) -> int:
        """The uid that its files belong to, seen from outside."""
        return os.geteuid() if self.uid is None else self.uid

    def popen_options(self) -> dict[str, Any]:
        """What `subprocess` needs to become it."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def prefix(self, death_signal: signal.Signals) -> tuple[str, ...]:
        """Words before the argv; entering a namespace clears the death signal, so set it again."""
        if not self.masked:
            return ()
        mask = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
        return (*mask, "setpriv", "--pdeathsig", death_signal.name.removeprefix("SIG"), "--")

    def give(self, folder: Path, mode: int = 0o700) -> None:
        """Make a folder that belongs to it."""
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        if self.uid is not None and folder.stat().st_uid != self.uid:
            os.chown(folder, self.uid, -1 if self.gid is None else self.gid)
        if folder.stat().st_uid == self.owner:
            folder.chmod(mode)

    def give_file(self, path: Path) -> None:
        """Hand a file of ours over to it."""
        if self.uid is not None:
            os.chown(path, self.uid, -1 if self.gid is None else self.gid)


OURSELVES: Final = Account()
MASKED: Final = Account(masked=True)


def choose_account(home: Path, pg_user: str | None = None) -> Account:
    """Ourselves where that will do; for root another account, and a namespace as last resort."""
    if os.geteuid() != 0:
        return OURSELVES if _has_entry(os.geteuid()) else _masked("your uid has no passwd entry")
    account = _lent_account(pg_user)
    if not can_run(account, Path("/bin/true")):
        return _masked("root may not become another account here")
    if not reachable(account, home):
        return _masked(f"the account for the servers cannot enter {home}")
    return account


def can_run(account: Account, program: Path, *arguments: str) -> bool:
    """Whether the account can execute a program."""
    try:
        run_as(account, [str(program), *arguments])
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def run_as(account: Account, argv: list[str], kept_fds: tuple[int, ...] = ()) -> str:
    """Run a short command as the account; gives its output, raises what `subprocess` raises."""
    finished: subprocess.CompletedProcess[str] = subprocess.run(
        [*account.prefix(signal.SIGKILL), *argv],
        check=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        pass_fds=kept_fds,
        **account.popen_options(),
    )
    return finished.stdout


def reachable(account: Account, folder: Path) -> bool:
    """Whether the account may pass through every existing folder down to this one."""
    path = folder.absolute()
    return all(_may_enter(account, step) for step in (path, *path.parents) if step.exists())


def _lent_account(pg_user: str | None) -> Account:
    for name in (pg_user, OUR_ACCOUNT):
        try:
            entry = pwd.getpwnam(name) if name else None
        except KeyError:
            if name == pg_user:
                message = f"PROMPTMILL_PG_USER: there is no account {name!r} on this machine"
                raise ConfigurationError(message) from None
            continue
        if entry is not None and entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
        if entry is not None:
            message = f"PROMPTMILL_PG_USER: {name!r} is root, and Postgres refuses to run as root"
            raise ConfigurationError(message)
    return Account(NOBODY, NOBODY)


def _masked(reason: str) -> Account:
    if all(map(shutil.which, ("unshare", "setpriv"))) and can_run(MASKED, Path("/bin/true")):
        return MASKED
    message = (
        f"{reason}, and user namespaces are not to be had: set PROMPTMILL_HOME to a folder "
        "under /var/lib, run as an ordinary user, or set DATABASE_URL and REDIS_URL"
    )
    raise StackError(message)


def _has_entry(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _may_enter(account: Account, folder: Path) -> bool:
    facts = folder.stat()
    if facts.st_uid == account.uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid == account.gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)
