"""The words for jobs: watch, results, jobs, cancel, why."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.client import JOBS, Client
from cli.errors import Exit, InputError, stderr
from cli.jobs import show
from cli.jobs.cancel import cancel_chosen, cancel_ids
from cli.jobs.choose import (
    BatchOption,
    Choice,
    JobId,
    JobIds,
    choosing,
    require,
    require_some,
)
from cli.jobs.ending import OUTAGE_SECONDS, end_of_jobs, watch_sum, watched
from cli.jobs.results import chosen, writer
from cli.output import AsJson, print_json
from cli.server.address import Server
from cli.server.options import on_a_server, talk

RESULTS_EXAMPLES: Final = """
Examples:

  promptmill results --batch tuesday -o tuesday.csv

  promptmill results --since 2h --state failed

  promptmill results job_06gvp37aldqhh801vvaql8icro
"""
CANCEL_EXAMPLES: Final = """
Examples:

  promptmill cancel job_06gvp37aldqhh801vvaql8icro

  promptmill cancel --state queued --yes

Exit codes: 0 all cancelled, 1 some had ended or were not found, 2 refused.
"""

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n  promptmill watch --all\n\n  promptmill watch --batch tuesday\n\n"
    "Exit codes: 0 all answered, 1 some failed, 130 interrupted (the jobs go on)."
)
@on_a_server
def watch(
    server: Server,
    ids: JobIds = None,
    *,
    batch: BatchOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is left to do.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how jobs go until they have ended; Ctrl-C leaves them running."""
    if bool(ids) + bool(batch) + everything != 1:
        raise InputError("say which jobs: IDs, --batch LABEL, or --all")
    if ids:
        end_of_jobs(watched(server, ids, as_json=as_json), as_json=as_json)
    else:
        watch_sum(server, batch, as_json=as_json)


@app.command(epilog=RESULTS_EXAMPLES)
@on_a_server
@choosing
def results(
    server: Server,
    ids: JobIds = None,
    *,
    choice: Choice,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help=".jsonl, .csv or .tsv; stdout if absent.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A last line: how many, as JSON.")
    ] = False,
) -> None:
    """Write the answers of jobs, the oldest first, one a line."""
    require_some(ids, choice)

    async def write(api: Client) -> int:
        number = 0
        with writer(out) as put:
            async for job in chosen(api, ids or [], choice):
                put(job)
                number += 1
        return number

    number = talk(server, write, patience=OUTAGE_SECONDS)
    if as_json:
        print_json([{"written": number, "out": str(out) if out else None}])
    else:
        stderr.print(f"{number} results" + (f" in {out}" if out else ""), markup=False)


@app.command(
    epilog="Examples:\n\n  promptmill jobs --state failed --since 1d\n\n  promptmill jobs --json"
)
@on_a_server
@choosing
def jobs(
    server: Server,
    *,
    choice: Choice,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows.")] = 20,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Go on after this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    params = {**choice.params(), "limit": limit, "after": after}
    page = talk(server, lambda api: api.get(JOBS, **params))
    if as_json:
        print_json(page["data"])
    else:
        for line in show.table(map(show.as_row, page["data"]), show.HEADER):
            typer.echo(line)
    if page["has_more"]:
        stderr.print(f"there are more: --after {page['next']}", markup=False)


@app.command(epilog=CANCEL_EXAMPLES)
@on_a_server
@choosing
def cancel(
    server: Server,
    ids: JobIds = None,
    *,
    choice: Choice,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs: those that wait at once, those that run as soon as their worker hears it."""
    require_some(ids, choice)
    if not ids and not yes:
        _ask_first()

    async def end(api: Client) -> bool:
        outcomes = cancel_ids(api, ids) if ids else cancel_chosen(api, choice)
        failed = False
        async for outcome in outcomes:
            failed |= outcome["error"] is not None
            _tell_outcome(outcome, as_json=as_json)
        return failed

    failed = talk(server, end)
    raise typer.Exit(Exit.SOME_FAILED if failed else Exit.OK)


@app.command(epilog="Examples:\n\n  promptmill why job_06gvp37aldqhh801vvaql8icro")
@on_a_server
def why(server: Server, id_: JobId, *, as_json: AsJson = False) -> None:
    """Say where a job stands, what it waits for, and what was tried."""

    async def ask(api: Client) -> dict[str, Any]:
        job = await require(api, id_)
        return await api.get(f"{JOBS}/{job['id']}/why")

    found = talk(server, ask)
    if as_json:
        print_json([found])
        return
    for line in show.story(found):
        typer.echo(line)


def _ask_first() -> None:
    if not sys.stdin.isatty():
        raise InputError("this may cancel many jobs: add --yes")
    if not typer.confirm("cancel all of these jobs?"):
        raise typer.Exit(Exit.SOME_FAILED)


def _tell_outcome(outcome: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json([outcome])
    elif outcome["error"]:
        stderr.print(f"promptmill: {outcome['error']}", markup=False)
    else:
        asked = "asked to stop" if outcome["state"] == "running" else outcome["state"]
        typer.echo(f"{outcome['id']}  {asked}")
