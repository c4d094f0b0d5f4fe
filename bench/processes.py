"""CPU and memory of processes with all their children, as Linux counts them."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
KIB: Final = 1024


def family(pid: int) -> list[int]:
    """The process and all that came of it; those that are gone are left out."""
    members = [pid]
    for parent in members:
        with suppress(OSError):
            for task in (PROC / str(parent) / "task").iterdir():
                members += [int(child) for child in (task / "children").read_text().split()]
    return members


def cpu_seconds(pid: int) -> float:
    """User and system time of a whole family so far, that of its dead members included."""
    ticks = 0
    for member in family(pid):
        with suppress(OSError):
            # After the name: state is field 0, utime, stime, cutime and cstime are 11 to 14.
            fields = (PROC / str(member) / "stat").read_text().rsplit(") ", 1)[1].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_SECOND


def memory(pid: int) -> int:
    """Bytes that a family keeps in memory; shared pages count by their share."""
    return sum(_field(member, "smaps_rollup", "Pss:") for member in family(pid))


def peak_memory(pid: int) -> int:
    """The most bytes that one process ever kept in memory."""
    return _field(pid, "status", "VmHWM:")


def parent_of(pid: int) -> int:
    """The parent's pid."""
    return int((PROC / str(pid) / "stat").read_text().rsplit(") ", 1)[1].split()[1])


def kill_family(pid: int) -> None:
    """End a process and its children at once."""
    for member in reversed(family(pid)):
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def _field(pid: int, file: str, name: str) -> int:
    return next((int(line.split()[1]) * KIB for line in _lines(pid, file) if name in line), 0)


def _lines(pid: int, file: str) -> Iterator[str]:
    with suppress(OSError):
        yield from (PROC / str(pid) / file).read_text().splitlines()
