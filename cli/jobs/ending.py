"""How a word that waits for jobs ends: what it prints, and its exit code."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import typer

from cli.client import Client
from cli.errors import Exit, stderr
from cli.jobs import show
from cli.jobs.stream import Printer, tell_answer
from cli.jobs.submit import wait_for
from cli.jobs.watch import LEFT, watch_all, watch_ids
from cli.output import print_json
from cli.server.address import Server
from cli.server.options import talk
from shared.domain.money import show_usd

OUTAGE_SECONDS: Final = 60.0
"""How long the API may be away before a word gives up; the jobs go on meanwhile."""


def waited(server: Server, job_id: str) -> dict[str, Any]:
    """The job when it has ended; Ctrl-C says how to get it later."""
    return _told(server, lambda api: wait_for(api, job_id), job_id)


def streamed(server: Server, job_id: str, *, as_json: bool) -> None:
    """The answer as it comes; Ctrl-C says how to get it later."""
    printer = Printer(as_json=as_json)
    job = _told(
        server, lambda api: tell_answer(api, job_id, printer, patience=OUTAGE_SECONDS), job_id
    )
    end_of_job(job)


def _told(
    server: Server, what: Callable[[Client], Awaitable[dict[str, Any]]], job_id: str
) -> dict[str, Any]:
    try:
        return talk(server, what, patience=OUTAGE_SECONDS)
    except KeyboardInterrupt:
        note = f"stopped waiting; the job goes on: promptmill results {job_id}"
        stderr.print(f"\npromptmill: {note}", markup=False)
        raise typer.Exit(Exit.INTERRUPTED) from None


def watched(server: Server, ids: list[str], *, as_json: bool) -> list[dict[str, Any]]:
    """These jobs when all have ended, with their progress shown."""
    try:
        return talk(server, lambda api: watch_ids(api, ids, quiet=as_json), patience=OUTAGE_SECONDS)
    except KeyboardInterrupt:
        stderr.print(f"\npromptmill: {LEFT}", markup=False)
        raise typer.Exit(Exit.INTERRUPTED) from None


def watch_sum(server: Server, batch: str | None, *, as_json: bool) -> None:
    """Follow a batch, or all jobs, to the end; the exit code says whether all were answered."""
    try:
        summary = talk(
            server, lambda api: watch_all(api, batch, quiet=as_json), patience=OUTAGE_SECONDS
        )
    except KeyboardInterrupt:
        stderr.print(f"\npromptmill: {LEFT}", markup=False)
        raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        print_json([summary])
    counts = summary["counts"]
    failed = counts["failed"] + counts["expired"] + counts["cancelled"]
    raise typer.Exit(Exit.SOME_FAILED if failed else Exit.OK)


def end_of_answer(job: dict[str, Any], *, as_json: bool) -> None:
    """The answer on stdout and nothing else; why there is none on stderr."""
    if as_json:
        print_json([job])
    elif job["result"] is not None:
        sys.stdout.write(f"{job['result']['content']}\n")
    end_of_job(job)


def end_of_job(job: dict[str, Any]) -> None:
    """What the answer cost, or why there is none."""
    if job["result"] is None:
        error = job["error"] or {"kind": job["state"], "message": job["state"]}
        stderr.print(f"promptmill: {error['kind']}: {error['message']}", markup=False)
        raise typer.Exit(Exit.SOME_FAILED)
    stderr.print(show_usd(job["cost"]["nano_usd"]), markup=False)


def end_of_jobs(jobs_: list[dict[str, Any]], *, as_json: bool) -> None:
    """Show the jobs; the exit code says whether all were answered."""
    if as_json:
        print_json(jobs_)
    else:
        for line in show.table(map(show.as_row, jobs_), show.HEADER):
            typer.echo(line)
    answered = all(job["state"] == "succeeded" for job in jobs_)
    raise typer.Exit(Exit.OK if answered else Exit.SOME_FAILED)
