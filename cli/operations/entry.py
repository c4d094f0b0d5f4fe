"""The words `backup`, `restore` and `prune`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import told_plainly
from cli.operations import backup as backups
from cli.operations import prune as pruning
from shared.db.prune import Part

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


@app.command()
def prune(
    older_than: Annotated[str, typer.Option(help="Since their end: 12h, 30d or 8w.")],
    *,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Whole jobs, not only their requests and results.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
) -> None:
    """Let go of the requests and results of jobs that ended long ago; the ledger stays."""
    with told_plainly():
        part = Part.JOBS if jobs else Part.CONTENTS
        pruning.prune_now(older_than, part=part, dry_run=dry_run)
