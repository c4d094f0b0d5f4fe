"""The stack that runs on this machine: where it listens, as its home says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.local.environment import Surroundings
from cli.stack.errors import StackError
from cli.stack.home import Home

LEDGER: Final = "rehearsal-ledger.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How to reach a running stack."""

    api_url: str
    api_key: str
    flower_url: str | None
    """Basic auth with FLOWER_USER and the password in the home's state; None: no Flower."""
    database_url: str
    simulator: bool
    ledger: Path
    home: Path


def find_running() -> Address | None:
    """The stack that `promptmill up` keeps running in this home.

    Raises StackError when somebody else's `run` holds the home.
    """
    home = Home(Surroundings.read().options().home)
    launcher = home.launcher()
    if launcher is None:
        return None
    extra = home.read_state().extra
    if extra.get("command") != "up" or not extra.get("ready"):
        message = (
            f"another promptmill (pid {launcher}) is using {home.root}: wait for it, start "
            "`promptmill up` to share one stack, or set PROMPTMILL_HOME to another folder"
        )
        raise StackError(message)
    return address_of(home)


def address_of(home: Home) -> Address:
    """Where the stack of this home listens, as its state says."""
    state = home.read_state()
    return Address(
        api_url=str(state.extra["api_url"]),
        api_key=str(state.extra["api_key"]),
        flower_url=str(state.extra["flower_url"]) if state.extra.get("flower_url") else None,
        database_url=str(state.extra["database_url"]),
        simulator=bool(state.extra.get("simulator")),
        ledger=home.root / LEDGER,
        home=home.root,
    )
