"""The words for the local stack: `up`, `down`, `status`, `key`, `migrate`."""

from typing import Annotated

import typer

from cli.errors import told_plainly
from cli.local import commands

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n  promptmill up\n\n  promptmill up --workers 2 --simulator --port 8000"
)
def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    port: Annotated[int | None, typer.Option(help="The API's; any free one if absent.")] = None,
    *,
    simulator: Annotated[
        bool, typer.Option("--simulator", help="With the simulator, for rehearsals.")
    ] = False,
) -> None:
    """Start the local stack and keep it running until Ctrl-C or `promptmill down`."""
    with told_plainly():
        commands.up(workers=workers, port=port, simulator=simulator)


@app.command()
def down() -> None:
    """Stop the running stack in order."""
    with told_plainly():
        commands.down()


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show the processes of the running stack and its jobs by state."""
    with told_plainly():
        raise typer.Exit(commands.status(as_json=as_json))


@app.command()
def key() -> None:
    """Print the API key of this machine's stack."""
    with told_plainly():
        commands.show_key()


@app.command()
def migrate() -> None:
    """Bring the schema of DATABASE_URL to the newest step."""
    with told_plainly():
        commands.migrate()
