"""The server that `promptmill login` remembers: its URL and a key, in a file of the user's own."""

import os
from pathlib import Path
from typing import Final

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from cli.errors import InputError

OWNER_ONLY: Final = 0o600


class Credentials(BaseModel):
    """What is remembered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    key: str
    plain_http: bool = False
    """The user said that this server may be talked to without TLS."""


def path() -> Path:
    """Where it is kept."""
    return platformdirs.user_config_path("promptmill") / "credentials.json"


def load() -> Credentials | None:
    """What `login` stored; None when nobody logged in. Raises InputError."""
    file = path()
    try:
        return Credentials.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        message = f"{file} cannot be used: run `promptmill login URL` again, or `promptmill logout`"
        raise InputError(message) from None


def save(credentials: Credentials) -> Path:
    """Replace what is stored; nobody else may read it. Raises InputError."""
    file = path()
    half = file.with_name(file.name + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        half.unlink(missing_ok=True)
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(descriptor, "w") as stored:
            stored.write(credentials.model_dump_json(indent=2) + "\n")
        half.replace(file)
    except OSError as error:
        message = f"{file}: {(error.strerror or str(error)).lower()}"
        raise InputError(message) from None
    return file


def forget() -> bool:
    """Remove it; whether there was anything."""
    try:
        path().unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        message = f"{path()}: {(error.strerror or str(error)).lower()}"
        raise InputError(message) from None
    return True
