"""What a word says: lines for a person, JSON for a program."""

import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import orjson
import typer

AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON lines.")]


def print_json(things: Iterable[Any]) -> None:
    """One line of JSON each, there at once: a program may wait for it."""
    for thing in things:
        sys.stdout.write(orjson.dumps(thing, default=str).decode() + "\n")
        sys.stdout.flush()


def say(facts: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    """The same thing once: as an object, or in words."""
    if as_json:
        print_json([facts])
    else:
        typer.echo(words)
