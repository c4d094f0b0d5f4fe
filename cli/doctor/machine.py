"""Checks of this machine: Python, packages, room, limits."""

import platform
import re
import resource
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

from cli.doctor.finding import Finding, ok, problem, warning

OLDEST_PYTHON: Final = (3, 11)
GIGABYTE: Final = 1 << 30
DISK: Final = (1, 5)
"""Gigabytes: below the first nothing runs for long, below the second not much."""
MEMORY: Final = 1
OPEN_FILES: Final = 4096
LOCK: Final = Path(__file__).parents[2] / "requirements.lock"
LOCKED: Final = re.compile(r"^([\w.-]+)(?:\[.*\])?==([^\s;]+)", re.MULTILINE)
SETUP: Final = "make setup installs what requirements.lock says"


def python() -> Finding:
    """New enough."""
    found = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return problem(f"Python {found} is too old", "install Python 3.11 or newer")
    return ok(f"Python {found} on {platform.system()} {platform.machine()}")


def packages() -> Finding:
    """Every dependency is there in a version that Promptmill is made for."""
    if find_spec("pip") is None:
        return ok("there is no pip that could be asked")
    asked = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    check = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - pip
    if check.returncode:
        return problem("; ".join(check.stdout.splitlines()), SETUP)
    return ok("all packages are there and fit each other")


def lock(path: Path = LOCK) -> Finding:
    """In a working copy: what is installed was tested together."""
    if not path.exists():
        return ok("installed as a package: there is no lock to compare with")
    locked: dict[str, set[str]] = {}
    for name, number in LOCKED.findall(path.read_text()):
        locked.setdefault(name, set()).add(number)
    found = {name: _installed(name) for name in locked}
    others = [
        f"{name} {number} (locked: {' or '.join(sorted(locked[name]))})"
        for name, number in found.items()
        if number and number not in locked[name]
    ]
    if others:
        return warning(f"other versions than were tested: {', '.join(others)}", SETUP)
    return ok(f"{sum(map(bool, found.values()))} packages have their locked versions")


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def disk(home: Path) -> Finding:
    """Room for the data of a local stack."""
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free / GIGABYTE
    what = f"{free:.1f} GB are free at {there}"
    way_out = "make room, or set PROMPTMILL_HOME to a folder on another disk"
    if free < DISK[0]:
        return problem(what, way_out)
    return warning(what, way_out) if free < DISK[1] else ok(what)


def memory() -> Finding:
    """Enough for a worker, the api and the servers."""
    free = psutil.virtual_memory().available / GIGABYTE
    what = f"{free:.1f} GB of memory are available"
    return warning(what, "a stack takes about 0.7 GB") if free < MEMORY else ok(what)


def open_files() -> Finding:
    """Sockets for thousands of calls."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        return warning(f"a process may open {hard} files", f"ulimit -Hn {OPEN_FILES * 16} or more")
    return ok("a process may open files enough for its calls")
