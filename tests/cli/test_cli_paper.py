"""docs/cli.md lists every word that there is, and says of it what its help says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from cli.main import app

PAPER = Path(__file__).parents[2] / "docs" / "cli.md"
ROW = re.compile(r"^\| `([a-z][a-z -]*)` \| (.*) \|$", re.MULTILINE)


def words(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its whole name."""
    if not hasattr(command, "list_commands"):
        yield name, command
        return
    for part in command.list_commands(None):
        yield from words(command.get_command(None, part), f"{name} {part}".strip())


def test_the_table_of_words_is_that_of_the_command() -> None:
    real = {name: " ".join(each.help.split()) for name, each in words(get_command(app))}
    assert dict(ROW.findall(PAPER.read_text())) == real


def test_every_word_shows_an_example_and_speaks_json() -> None:
    for name, each in words(get_command(app)):
        assert f"promptmill {name}" in str(each.epilog), name
        options = {option for parameter in each.params for option in parameter.opts}
        assert "--json" in options, name
        assert "--install-completion" not in options, "it is an option of the whole command"
