"""The command `promptmill`: every room brings its words."""

from importlib.metadata import version as installed_version

import typer

from cli.output import AsJson, say
from cli.rooms import Rooms

app = typer.Typer(
    cls=Rooms,
    help="Give it prompts, get back every answer.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


# Alone it would be the whole command.
@app.callback()
def promptmill() -> None:
    """Give it prompts, get back every answer."""


@app.command(epilog="Examples:\n\n  promptmill version")
def version(*, as_json: AsJson = False) -> None:
    """Show the version."""
    number = installed_version("promptmill")
    say({"version": number}, number, as_json=as_json)


def main() -> None:
    """The console script."""
    app()
