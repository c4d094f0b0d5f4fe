"""`promptmill logs` and `up --logs`: the children's lines, each behind its name."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import typer

from cli.errors import InputError
from cli.local.environment import Surroundings
from cli.output import print_json
from cli.stack.child import last_lines
from cli.stack.errors import StackError
from cli.stack.home import Home
from cli.stack.logs import follow

COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green")


def show(names: list[str], *, lines: int, following: bool, as_json: bool) -> None:
    """The last lines of these logs, or of all; then what is added, until Ctrl-C."""
    logs = _chosen(Home(Surroundings.read().options().home), names)
    write = writer(logs, as_json=as_json)
    for name, path in logs.items():
        for line in last_lines(path, lines).splitlines():
            write(name, line)
    if following:
        asyncio.run(follow(logs, write))


def writer(names: Iterable[str], *, as_json: bool) -> Callable[[str, str], None]:
    """What writes a line of a process of these names."""
    return _as_object if as_json else _prefixed(names)


def _as_object(name: str, line: str) -> None:
    print_json([{"process": name, "line": line}])


def _prefixed(names: Iterable[str]) -> Callable[[str, str], None]:
    """A writer of lines behind a column of names, each name in a colour of its own."""
    listed = list(names)
    width = max((len(name) for name in listed), default=0)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(listed)}

    def write(name: str, line: str) -> None:
        typer.echo(typer.style(f"{name:<{width}} | ", fg=colours[name]) + line)

    return write


def all_of(home: Home) -> dict[str, Path]:
    """Every log of a home by the name of its child."""
    return {path.stem: path for path in sorted(home.logs.glob("*.log")) if "." not in path.stem}


def _chosen(home: Home, names: list[str]) -> dict[str, Path]:
    known = all_of(home)
    if not known:
        raise StackError(f"there are no logs in {home.logs}: no stack was ever started there")
    for name in names:
        if name not in known:
            raise InputError(f"no process is called {name!r}; there are {', '.join(known)}")
    return {name: known[name] for name in names or known}
