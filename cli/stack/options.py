"""What the environment says about the local stack, read once and frozen."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

ROOT_HOME: Final = Path("/var/lib/promptmill")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """Where the stack lives, and what replaces its parts."""

    home: Path
    database_url: str | None = None
    """Given: no Postgres of ours is started."""
    redis_url: str | None = None
    """Given: no Valkey of ours is started."""
    pg_bin: Path | None = None
    """The folder with `initdb` and `postgres`."""
    valkey_bin: Path | None = None
    """The server's file, or the folder that holds it."""
    pg_user: str | None = None
    """The account for the servers when the launcher is root."""
    path: str = os.defpath


def read_options(environ: Mapping[str, str] | None = None) -> StackOptions:
    """The options out of an environment, by default that of this process."""
    source = os.environ if environ is None else environ

    def text(variable: str) -> str | None:
        return source.get(variable, "").strip() or None

    def folder(variable: str) -> Path | None:
        value = text(variable)
        return Path(value).expanduser().absolute() if value else None

    return StackOptions(
        home=folder("PROMPTMILL_HOME") or default_home(),
        database_url=text("DATABASE_URL"),
        redis_url=text("REDIS_URL"),
        pg_bin=folder("PROMPTMILL_PG_BIN"),
        valkey_bin=folder("PROMPTMILL_VALKEY_BIN"),
        pg_user=text("PROMPTMILL_PG_USER"),
        path=source.get("PATH", os.defpath),
    )


def default_home() -> Path:
    """`/var/lib/promptmill` for root, otherwise the user's data folder."""
    if os.geteuid() == 0:
        return ROOT_HOME
    return Path(platformdirs.user_data_dir("promptmill", appauthor=False))
