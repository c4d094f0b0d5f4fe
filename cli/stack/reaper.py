"""A small process that ends children and removes folders after their launcher has died.

It reads orders from a pipe; the end of the pipe is the launcher's death. Where the kernel
has death signals (Linux) it serves for folders only. Standard library only: it is run as a
file by a bare interpreter, which starts in a hundredth of a second.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

GRACE: Final = 15.0
"""Seconds that the children have after their death signal."""
POLL: Final = 0.05


class Reaper:
    """The launcher's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def watch(self, pid: int, number: signal.Signals) -> None:
        """Send this signal to this child when the launcher is gone."""
        self._order(f"watch {pid} {int(number)}")

    def forget(self, pid: int) -> None:
        """The child has ended: its number may soon be another's."""
        self._order(f"forget {pid}")

    def remove(self, folder: Path) -> None:
        """Remove this folder in the end."""
        self._order(f"remove {folder}")

    def close(self) -> None:
        """Let it do now what is left to do, and wait for it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _order(self, text: str) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody ended it: we go on without
                self._process.stdin.write(text.encode() + b"\n")
                self._process.stdin.flush()


def reap(orders: Iterable[str]) -> None:
    """Take orders until their end, then carry them out."""
    watched: dict[int, int] = {}
    folders: list[str] = []
    for order in orders:
        verb, _, rest = order.rstrip("\n").partition(" ")
        if verb == "watch":
            pid, number = rest.split(" ")
            watched[int(pid)] = int(number)
        elif verb == "forget":
            watched.pop(int(rest), None)
        elif verb == "remove":
            folders.append(rest)
    end(watched)
    for folder in folders:
        remove(folder)


def end(watched: dict[int, int]) -> None:
    """Send each child its signal (a kill goes to its group); kill the groups of those that stay."""
    left = {
        pid
        for pid, number in watched.items()
        if sent(-pid if number == signal.SIGKILL else pid, number)
    }
    deadline = time.monotonic() + GRACE
    while left and time.monotonic() < deadline:
        time.sleep(POLL)
        left = {pid for pid in left if sent(pid, 0)}
    for pid in left:
        sent(-pid, signal.SIGKILL)


def sent(pid: int, number: int) -> bool:
    """Whether the signal found somebody."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def remove(folder: str) -> None:
    """Remove a folder in which dying servers may still write."""
    deadline = time.monotonic() + GRACE
    while Path(folder).exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(POLL)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    reap(sys.stdin)
