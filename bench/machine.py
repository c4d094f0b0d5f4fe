"""The machine that was measured on, in one line."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from shared.domain.clock import SystemClock


def describe() -> str:
    """Cores, processor, Python, load and date."""
    model = next(_models(), platform.machine())
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    date = SystemClock().now().date().isoformat()
    return f"{cores} cores of {model}, Python {platform.python_version()}, load {load:.1f}, {date}"


def _models() -> Iterator[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            yield line.partition(": ")[2]
