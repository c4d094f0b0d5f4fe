"""The words for the local stack: `up`, `down`, `status`, `logs`, `key`, `migrate`, `simulate`."""

from typing import Annotated

import typer

from cli.errors import told_plainly
from cli.local import commands, logs, simulate, status
from cli.local.stack import Want
from cli.output import AsJson

app = typer.Typer()
UP_EXAMPLES = """
Examples:

  promptmill up

  promptmill up --simulator --detach

  promptmill up --workers 2 --port 8000 --flower-port 5555 --logs
"""
SIMULATE_EXAMPLES = """
Examples:

  promptmill simulate --port 9000 --rpm 500 --seed 7

  promptmill simulate --script faults.json --ledger bill.jsonl

  promptmill simulate -- --help
"""


@app.command(epilog=UP_EXAMPLES)
def up(  # noqa: PLR0913 - the options are the command's interface
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    port: Annotated[int | None, typer.Option(help="The API's; any free one if absent.")] = None,
    flower_port: Annotated[int | None, typer.Option(help="Flower's; any free one.")] = None,
    *,
    flower: Annotated[bool, typer.Option(help="The page on which to watch the workers.")] = True,
    simulator: Annotated[
        bool, typer.Option("--simulator", help="With the simulator, for rehearsals.")
    ] = False,
    show_logs: Annotated[
        bool, typer.Option("--logs", help="Show what the processes write, behind their names.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready; `down` stops it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the local stack and keep it running until Ctrl-C or `promptmill down`."""
    want = Want(
        command="up",
        workers=workers,
        port=port,
        simulator=simulator,
        flower=flower,
        flower_port=flower_port,
    )
    with told_plainly():
        if detach:
            commands.up_detached(want, as_json=as_json)
        else:
            commands.up(want, logs=show_logs, as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill down")
def down(*, as_json: AsJson = False) -> None:
    """Stop the running stack in order."""
    with told_plainly():
        commands.down(as_json=as_json)


@app.command("status", epilog="Examples:\n\n  promptmill status\n\n  promptmill status --watch")
def show_status(
    *,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Every two seconds.")] = False,
) -> None:
    """Show the processes of the running stack, their workers, and what they did of late."""
    with told_plainly():
        raise typer.Exit(status.show(as_json=as_json, watch=watch))


@app.command("logs", epilog="Examples:\n\n  promptmill logs\n\n  promptmill logs worker1 api -f")
def show_logs(
    names: Annotated[list[str] | None, typer.Argument(help="Processes; all if absent.")] = None,
    lines: Annotated[int, typer.Option("-n", min=0, help="How many of each to begin with.")] = 20,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the processes of the stack wrote, behind their names."""
    with told_plainly():
        logs.show(names or [], lines=lines, following=follow, as_json=as_json)


@app.command(epilog="Examples:\n\n  export PROMPTMILL_KEY=$(promptmill key)")
def key(
    *,
    flower: Annotated[bool, typer.Option("--flower", help="Flower's password instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the API key of this machine's stack."""
    with told_plainly():
        commands.show_key(flower=flower, as_json=as_json)


@app.command(epilog="Examples:\n\n  DATABASE_URL=postgresql://… promptmill migrate")
def migrate(*, as_json: AsJson = False) -> None:
    """Bring the schema of DATABASE_URL to the newest step."""
    with told_plainly():
        commands.migrate(as_json=as_json)


@app.command(
    "simulate",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=SIMULATE_EXAMPLES,
)
def stand_in(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Stand in for every provider, for tests: no key, no money; Ctrl-C stops it."""
    with told_plainly():
        raise typer.Exit(simulate.serve(context.args, as_json=as_json))
