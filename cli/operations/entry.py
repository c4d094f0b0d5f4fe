"""The words `backup`, `restore` and `prune`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import told_plainly
from cli.operations import backup as backups
from cli.operations import prune as pruning
from cli.output import AsJson
from shared.db.prune import Part

app = typer.Typer()


@app.command(epilog="Examples:\n\n  promptmill backup tonight.pmbackup")
def backup(
    file: Annotated[Path, typer.Argument(help="A new file; it will hold prompts and results.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Save the database into one file, of one moment, while work goes on."""
    with told_plainly():
        backups.back_up(file, as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill restore tonight.pmbackup")
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `promptmill backup` made.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Delete what the database holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fill an empty database out of a backup; stop the api and the workers first."""
    with told_plainly():
        backups.put_back(file, force=force, as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill prune --older-than 30d --dry-run")
def prune(
    older_than: Annotated[str, typer.Option(help="Since their end: 12h, 30d or 8w.")],
    *,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Whole jobs, not only their requests and results.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let go of the requests and results of jobs that ended long ago; the ledger stays."""
    with told_plainly():
        part = Part.JOBS if jobs else Part.CONTENTS
        pruning.prune_now(older_than, part=part, dry_run=dry_run, as_json=as_json)
