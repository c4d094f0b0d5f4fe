"""The words `backup`, `restore` and `prune`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import told_plainly
from cli.operations import backup as backups

app = typer.Typer()


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A new file; it will hold prompts and results.")],
) -> None:
    """Save the database into one file, of one moment, while work goes on."""
    with told_plainly():
        backups.back_up(file)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `promptmill backup` made.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Delete what the database holds.")] = False,
) -> None:
    """Fill an empty database out of a backup; stop the api and the workers first."""
    with told_plainly():
        backups.put_back(file, force=force)
