"""The word `reconcile`."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.amounts import read_usd
from cli.errors import InputError, told_plainly
from cli.operations.database import reachable_database
from cli.output import AsJson
from cli.reconcile import actions
from shared.db.engine import Database

EXAMPLES: Final = """
Examples:

  promptmill reconcile

  promptmill reconcile --attempt att_06gvp37aldqhh801vvaql8icro --cost 0.0042 --reason invoice

  promptmill reconcile --usage november.csv --apply

  promptmill reconcile --excess

  promptmill reconcile --rebuild --check

FILE has the provider's totals: CSV with the columns provider, model, day (of UTC) and cost (USD),
or a JSON array of such objects. Exit codes: 0, 1 counters differ (--check), 2 input or usage.
"""
Act = Callable[[Database], Awaitable[None]]

AttemptId = Annotated[
    str | None,
    typer.Option("--attempt", metavar="ID", help="Correct this one, once; with both below."),
]
Cost = Annotated[
    Decimal | None, typer.Option("--cost", parser=read_usd, metavar="USD", help="What it cost.")
]
Reason = Annotated[str | None, typer.Option("--reason", help="How you know; it stays.")]
UsageFile = Annotated[
    Path | None,
    typer.Option("--usage", metavar="FILE", help="Compare with a provider's totals."),
]
Apply = Annotated[
    bool, typer.Option("--apply", help="Spread what is left of them over unknown bills.")
]
Excess = Annotated[bool, typer.Option("--excess", help="List calls that cost more than was held.")]
Rebuild = Annotated[
    bool, typer.Option("--rebuild", help="Count budgets and jobs again from the ledger.")
]
Check = Annotated[bool, typer.Option("--check", help="Only tell; 1 if they differ.")]

app = typer.Typer()


@app.command(epilog=EXAMPLES)
def reconcile(  # noqa: PLR0913 - each is an option
    *,
    attempt: AttemptId = None,
    cost: Cost = None,
    reason: Reason = None,
    usage: UsageFile = None,
    apply: Apply = False,
    excess: Excess = False,
    rebuild: Rebuild = False,
    check: Check = False,
    as_json: AsJson = False,
) -> None:
    """List the calls whose bill nobody knows, correct them, and hold all counters to the ledger."""
    with told_plainly():
        _require_its_own(attempt, cost, reason)
        if apply and usage is None:
            raise InputError("--apply needs --usage FILE")
        asked: dict[str, Act] = {}
        if attempt is not None and cost is not None and reason:
            asked["--attempt"] = partial(
                actions.correct_one, attempt_id=attempt, cost=cost, reason=reason, as_json=as_json
            )
        if usage is not None:
            asked["--usage"] = partial(
                actions.compare_with, file=usage, apply=apply, as_json=as_json
            )
        if excess:
            asked["--excess"] = partial(actions.tell_excess, as_json=as_json)
        if rebuild or check:
            asked["--rebuild"] = partial(actions.count_again, change=not check, as_json=as_json)
        _do(asked or {"": partial(actions.tell_flagged, as_json=as_json)})


def _require_its_own(attempt: str | None, cost: Decimal | None, reason: str | None) -> None:
    """A correction says what, how much and why."""
    given = {"--attempt": attempt, "--cost": cost, "--reason": reason}
    lacking = [name for name, value in given.items() if value in {None, ""}]
    if lacking and len(lacking) < len(given):
        raise InputError(f"a correction needs {', '.join(given)}; {', '.join(lacking)} is missing")


def _do(asked: dict[str, Act]) -> None:
    if len(asked) > 1:
        raise InputError(f"one thing at a time: {' or '.join(asked)}")
    [act] = asked.values()
    with reachable_database() as url:
        asyncio.run(_work(url, act))


async def _work(url: str, act: Act) -> None:
    database = Database(url, pool_size=1, name="promptmill-reconcile")
    try:
        await act(database)
    finally:
        await database.close()
