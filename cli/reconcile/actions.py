"""What `promptmill reconcile` does: list, correct, compare, count again."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import typer

from cli.errors import Exit, InputError, stderr
from cli.jobs.show import table
from cli.output import print_json, say
from cli.reconcile.bill import read_bill
from cli.reconcile.books import HEADER, compare
from shared.db.corrections import (
    Correction,
    correct,
    list_excess,
    list_flagged,
    read_standing,
)
from shared.db.engine import Database
from shared.db.rebuild import differences, put_right
from shared.domain.attempt import OPEN_ATTEMPTS, AttemptState
from shared.domain.clock import SystemClock
from shared.domain.money import show_usd, to_nano

FLAGGED_HEADER: Final = ("ATTEMPT", "JOB", "DEPLOYMENT", "STATE", "SENT", "CHARGED")
EXCESS_HEADER: Final = ("ATTEMPT", "JOB", "DEPLOYMENT", "HELD", "COST", "ABOVE")
AT_ONCE: Final = 500
"""Counters that are put right in one transaction."""


async def tell_flagged(database: Database, *, as_json: bool) -> None:
    """Every attempt that is charged at its hold since nobody knows its bill."""
    rows = await _all(database, list_flagged)
    if as_json or not rows:
        _tell_rows(rows, "every call's bill is known", as_json=as_json)
        return
    lines = [
        (row.id, row.job_id, row.deployment, row.state, f"{row.sent_at:%Y-%m-%d %H:%M}",
         show_usd(row.cost_nano))
        for row in rows
    ]  # fmt: skip
    _tell_table(lines, FLAGGED_HEADER)
    charged = show_usd(sum(row.cost_nano for row in rows))
    stderr.print(
        f"{len(rows)} calls whose bill nobody knows, charged {charged}: the most they can cost",
        markup=False,
    )


async def tell_excess(database: Database, *, as_json: bool) -> None:
    """Every call that cost more than was held for it."""
    rows = await _all(database, list_excess)
    if as_json or not rows:
        _tell_rows(rows, "no call cost more than was held for it", as_json=as_json)
        return
    lines = [
        (row.id, row.job_id, row.deployment or "-", show_usd(row.hold_nano),
         show_usd(row.cost_nano), show_usd(row.excess_nano))
        for row in rows
    ]  # fmt: skip
    _tell_table(lines, EXCESS_HEADER)


async def correct_one(
    database: Database, attempt_id: str, cost: Decimal, reason: str, *, as_json: bool
) -> None:
    """Book what one call cost after all. Raises InputError where that cannot be."""
    correction = Correction(attempt_id=attempt_id, cost_nano=to_nano(cost), reason=reason)
    async with database.transaction() as connection:
        done = await correct(connection, [correction])
        standing = None if done else await read_standing(connection, attempt_id)
    if not done:
        raise InputError(_why_not(attempt_id, standing))
    facts = {"attempt": attempt_id, "cost_nano": correction.cost_nano, "reason": reason}
    say(facts, f"{attempt_id} cost {show_usd(correction.cost_nano)}", as_json=as_json)


async def compare_with(database: Database, file: Path, *, apply: bool, as_json: bool) -> None:
    """Our books beside the totals of a file; with `apply` unknown bills follow them."""
    today = SystemClock().now().date()
    found = await compare(database, read_bill(file), apply=apply, today=today)
    if as_json:
        print_json(each.as_json() for each in found)
    else:
        _tell_table([each.as_row() for each in found], HEADER)


async def count_again(database: Database, *, change: bool, as_json: bool) -> None:
    """Tell each counter that is not what the ledger says, and put it right if `change`.

    Raises Exit with 1 for differences that are only told.
    """
    found = [each async for each in differences(database)]
    for each in found:
        facts = {
            "counter": each.counter.name.lower(), "id": each.id, "counted_nano": each.counted,
            "booked_nano": each.booked,
        }  # fmt: skip
        counted, booked = show_usd(each.counted), show_usd(each.booked)
        words = f"{each.counter} {each.id}: counted {counted}, the ledger says {booked}"
        say(facts, words, as_json=as_json)
    if change:
        for start in range(0, len(found), AT_ONCE):
            async with database.transaction() as connection:
                await put_right(connection, found[start : start + AT_ONCE])
    if not as_json:
        typer.echo(_sum_of(len(found), change=change))
    if found and not change:
        raise typer.Exit(Exit.SOME_FAILED)


def _sum_of(number: int, *, change: bool) -> str:
    if not number:
        return "every counter is what the ledger says"
    return f"{number} counters " + ("put right" if change else "differ: --rebuild puts them right")


def _why_not(attempt_id: str, standing: Any) -> str:
    """Why an attempt's cost stays what it is."""
    if standing is None:
        return f"--attempt {attempt_id}: there is none, or its job was pruned"
    if standing.adjusted is not None:
        why = standing.reason or "its worker told what it cost"
        when = f"{standing.adjusted:%Y-%m-%d %H:%M}"
        return f"--attempt {attempt_id}: it was corrected already, at {when}: {why}"
    if standing.state in OPEN_ATTEMPTS | {AttemptState.RETURNED}:
        return f"--attempt {attempt_id}: it is {standing.state}, nothing is charged for it"
    return f"--attempt {attempt_id}: its bill is known, {show_usd(standing.cost_nano)}"


async def _all(database: Database, read: Any) -> list[Any]:
    """Every row, page by page."""
    rows: list[Any] = []
    page = None
    while page is None or page:
        async with database.transaction() as connection:
            page = await read(connection, after=rows[-1].id if rows else "")
        rows += page
    return rows


def _tell_rows(rows: Sequence[Any], none: str, *, as_json: bool) -> None:
    """As JSON, or in words that there are none."""
    if as_json:
        print_json(dict(row._mapping) for row in rows)  # noqa: SLF001 - SQLAlchemy's public name
    else:
        typer.echo(none)


def _tell_table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...]) -> None:
    for line in table(rows, header):
        typer.echo(line)
