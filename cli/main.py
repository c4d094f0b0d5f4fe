"""The command `promptmill`: every room brings its words."""

from importlib.metadata import version as installed_version

import typer

from cli.local import entry as local
from cli.operations import entry as operations
from cli.run import entry as run

app = typer.Typer(
    help="Give it prompts, get back every answer.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for room in (run.app, local.app, operations.app):
    app.add_typer(room)


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(installed_version("promptmill"))


def main() -> None:
    """The console script."""
    app()
