"""Starts one child process that cannot outlive its launcher, and ends it."""

import asyncio
import atexit
import contextlib
import ctypes
import functools
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Final, TypeAlias

from cli.stack.account import OURSELVES, Account
from cli.stack.reaper import Reaper

PR_SET_PDEATHSIG: Final = 1
POLL: Final = 0.05
"""Seconds between two looks at a child where the kernel has no pidfd."""
LINE_GUESS: Final = 1024
"""Bytes that a line of a log has at most, as a rule."""
LOG_LIMIT: Final = 16 * 1024 * 1024
"""Bytes; a longer log is set aside when its child starts."""
LINUX: Final = sys.platform == "linux"

Escalation: TypeAlias = tuple[tuple[signal.Signals, float], ...]
PLAIN_STOP: Final[Escalation] = ((signal.SIGTERM, 30.0), (signal.SIGQUIT, 5.0))
"""Signals with the seconds that each is given; the process group is killed after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run and how it is bound to its launcher."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path = Path("/")
    account: Account = OURSELVES
    death_signal: signal.Signals = signal.SIGKILL
    """What it gets when the launcher dies."""
    kept_fds: Sequence[int] = ()


class Child:
    """A running child; its process group dies with it."""

    def __init__(self, process: subprocess.Popen[bytes], *, watched: bool) -> None:
        self.pid: Final = process.pid
        self._process = process
        self._watched = watched
        self._reaping = threading.Lock()
        self._buried = False
        self._pidfd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
        if self._pidfd is not None:
            weakref.finalize(self, os.close, self._pidfd)

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: ended by that signal."""
        self.wait(0)
        return self._process.returncode

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child alone; nothing happens when it has ended."""
        with self._reaping:
            if self._process.returncode is None:
                os.kill(self.pid, number)

    def send_family(self, number: signal.Signals) -> None:
        """Send a signal to the child and, where /proc tells them, to its own children."""
        self.send(number)
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        if children.exists():
            for pid in children.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), number)

    def kill_group(self) -> None:
        """SIGKILL to the child and whatever it started."""
        with self._reaping:
            if self._process.returncode is None:
                self._kill_group()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within this time; blocks."""
        deadline = time.monotonic() + seconds
        while not self._ended(deadline):
            if time.monotonic() >= deadline:
                return False
        self._reap()
        return True

    async def exited(self) -> int:
        """Wait for its end without blocking the loop; gives the return code."""
        if self._process.returncode is None and self._pidfd is not None:
            loop, over = asyncio.get_running_loop(), asyncio.Event()
            watch = os.dup(self._pidfd)  # a second waiter must not end the first one's watch
            loop.add_reader(watch, over.set)
            try:
                await over.wait()
            finally:
                loop.remove_reader(watch)
                os.close(watch)
        while not self.wait(0):  # noqa: ASYNC110  # without pidfd there is no event
            await asyncio.sleep(POLL)
        return self._process.returncode

    def stop(self, escalation: Escalation = PLAIN_STOP) -> int:
        """Send each signal and give it its seconds, then kill the group; blocks."""
        for number, seconds in escalation:
            self.send(number)
            self.send(signal.SIGCONT)  # a stopped process would not hear the other one
            if self.wait(seconds):
                break
        self.kill_group()
        while not self.wait(POLL):
            continue
        return self._process.returncode

    def _ended(self, deadline: float) -> bool:
        if self._process.returncode is not None:
            return True
        left = max(0.0, deadline - time.monotonic())
        pidfd = self._pidfd
        if pidfd is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(min(left, POLL))
            return self._process.returncode is not None
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(left * 1000))

    def _reap(self) -> None:
        """Take the return code; the group goes first, while its number is surely ours."""
        with self._reaping:
            if self._buried:
                return
            self._buried = True
            self._kill_group()
            self._process.wait()
            if self._watched:
                reaper().forget(self.pid)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def spawn(command: Command, log: Path) -> Child:
    """Start a child in its own session, its output appended to `log`.

    Main thread only: the kernel sends the death signal when the *thread* that forked ends.
    """
    if threading.current_thread() is not threading.main_thread():
        message = "children are started from the main thread only"
        raise RuntimeError(message)
    with _open_log(log) as output:
        process = subprocess.Popen(
            [*command.account.prefix(command.death_signal), *command.argv],
            env=dict(command.env),
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=tuple(command.kept_fds),
            preexec_fn=_die_with_launcher(command.death_signal) if LINUX else None,  # noqa: PLW1509
            **command.account.popen_options(),
        )
    if not LINUX:
        reaper().watch(process.pid, command.death_signal)
    return Child(process, watched=not LINUX)


@functools.cache
def reaper() -> Reaper:
    """The one reaper of this launcher."""
    started = Reaper()
    atexit.register(started.close)
    return started


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LINE_GUESS * count))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-count:])


def _open_log(log: Path) -> BufferedWriter:
    log.parent.mkdir(mode=0o700, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".old.log"))
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _die_with_launcher(number: signal.Signals) -> Callable[[], None]:
    prctl, launcher = _libc().prctl, os.getpid()

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != launcher:
            os._exit(1)

    return bind


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
