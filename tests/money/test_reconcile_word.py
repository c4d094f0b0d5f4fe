"""`promptmill reconcile`: what an operator is told, and what a provider's totals make known."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from cli.errors import InputError
from cli.reconcile.bill import Group, parts, read_bill
from cli.reconcile.books import compare
from shared.domain.clock import SystemClock
from tests.db.books import check_books
from tests.environment import environment
from tests.life import COST, HOLD, Life, answered, new_job

PROVIDER, MODEL = "openai", "gpt-4.1-mini"
TODAY = SystemClock().now().date()
TOMORROW = TODAY + timedelta(days=1)
OURS = Group(TODAY, PROVIDER, MODEL)
Say = Callable[..., Awaitable["subprocess.CompletedProcess[str]"]]


@pytest.fixture
def say(database_url: str, tmp_path: Path) -> Say:
    """The word with these options, on the test's database."""
    environ = environment(database_url, "redis://127.0.0.1:1", PROMPTMILL_HOME=str(tmp_path))

    async def run(*options: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "cli", "reconcile", *options],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


async def ended(life: Life, *costs: int | None) -> list[str]:
    """Attempts that ended at these costs; None: nobody knows."""
    attempts = await life.started(*(new_job() for _ in costs))
    reports = (answered(a, cost_nano=cost) for a, cost in zip(attempts, costs, strict=True))
    await life.leave(*reports)
    return [attempt.attempt_id for attempt in attempts]


async def test_an_operator_lists_corrects_and_counts_again(life: Life, say: Say) -> None:
    unknown, _ = await ended(life, None, HOLD + 5)
    listed = await say("--json")
    assert listed.returncode == 0, listed.stderr
    [row] = map(json.loads, listed.stdout.splitlines())
    assert (row["id"], row["cost_nano"]) == (unknown, HOLD)
    correction = ("--attempt", unknown, "--cost", "0.0000002", "--reason", "the invoice")
    assert (await say(*correction)).stdout == f"{unknown} cost $0.0000002\n"
    again = await say(*correction)
    assert again.returncode == 2
    assert "it was corrected already" in again.stderr
    assert "the invoice" in again.stderr
    above = json.loads((await say("--excess", "--json")).stdout)
    assert above["excess_nano"] == 5
    async with life.database.transaction() as connection:
        await connection.execute(text("UPDATE jobs SET cost_nano = 1 WHERE cost_nano > 500"))
    told = await say("--rebuild", "--check")
    assert (told.returncode, "1 counters differ" in told.stdout) == (1, True)
    assert (await say("--rebuild")).returncode == 0
    assert (await say("--check")).stdout == "every counter is what the ledger says\n"
    assert await life.money() == (200 + HOLD + 5, 0)
    await check_books(life)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--attempt", "att_x", "--cost", "1"), "--reason is missing"),
        (("--attempt", "att_x", "--cost", "1", "--reason", "r"), "there is none"),
        (("--apply",), "--apply needs --usage"),
        (("--excess", "--rebuild"), "one thing at a time"),
        (("--usage", "nowhere.csv"), "nowhere.csv"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_a_sentence(
    say: Say, options: tuple[str, ...], told: str
) -> None:
    refused = await say(*options)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_a_file_of_totals_is_compared_and_a_day_that_is_not_over_is_left(
    life: Life, say: Say, tmp_path: Path
) -> None:
    await ended(life, COST, None)
    file = tmp_path / "bill.csv"
    file.write_text(f"provider,model,day,cost\n{PROVIDER},{MODEL},{TODAY},0.0000005\n")
    done = await say("--usage", str(file), "--apply", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "day": str(TODAY), "provider": PROVIDER, "model": MODEL, "theirs_nano": 500,
        "ours_nano": COST + HOLD, "difference_nano": COST + HOLD - 500, "calls": 2, "unknown": 1,
        "corrected": 0, "left_because": "the day is not over",
    }  # fmt: skip
    assert "the day is not over" in (await say("--usage", str(file), "--apply")).stdout


async def test_a_total_is_spread_over_the_unknown_bills_to_the_nano(life: Life) -> None:
    await ended(life, COST, None, None, None)
    bill = {OURS: COST + 1_000}
    [before] = await compare(life.database, bill, apply=False, today=TOMORROW)
    assert (before.ours_nano, before.corrected) == (COST + 3 * HOLD, 0)
    [applied] = await compare(life.database, bill, apply=True, today=TOMORROW)
    assert (applied.corrected, applied.ours_nano) == (3, COST + 1_000)
    assert await life.money() == (COST + 1_000, 0)
    reasons = await life.all("SELECT DISTINCT reason FROM ledger WHERE kind = 'adjust'")
    assert reasons == [(f"share of openai's total of {TODAY} for gpt-4.1-mini",)]
    [again] = await compare(life.database, bill, apply=True, today=TOMORROW)
    assert (again.corrected, again.as_json()["difference_nano"]) == (0, 0)
    await check_books(life)


async def test_no_bill_is_made_larger_than_its_hold_and_none_below_nothing(life: Life) -> None:
    await ended(life, COST, None)
    [more] = await compare(life.database, {OURS: 10**9}, apply=True, today=TOMORROW)
    assert more.ours_nano == COST + HOLD
    await ended(life, None)
    [less] = await compare(life.database, {OURS: 1}, apply=True, today=TOMORROW)
    assert less.ours_nano == COST + HOLD
    assert await life.money() == (COST + HOLD, 0)


async def test_a_group_with_open_calls_waits_and_one_that_the_file_forgot_is_told(
    life: Life,
) -> None:
    await ended(life, None)
    await life.started()
    other = Group(TODAY, PROVIDER, "another")
    [waits] = await compare(life.database, {OURS: 5}, apply=True, today=TOMORROW)
    assert waits.left_because == "1 calls have not ended"
    forgotten = await compare(life.database, {other: 7}, apply=True, today=TOMORROW)
    assert [(each.group, each.theirs_nano) for each in forgotten] == [(other, 7), (OURS, None)]
    assert forgotten[1].ours_nano == HOLD


@given(st.integers(-5, 10**13), st.lists(st.integers(0, 10**12), max_size=40))
def test_parts_add_up_and_none_is_larger_than_what_is_charged(
    total: int, charged: list[int]
) -> None:
    shares = parts(total, charged)
    assert sum(shares) == min(max(total, 0), sum(charged))
    assert all(0 <= share <= most for share, most in zip(shares, charged, strict=True))


def test_json_and_csv_say_the_same_and_lines_of_a_group_add_up(tmp_path: Path) -> None:
    row = {"provider": "xai", "model": "grok", "day": "2026-11-20", "cost": "0.10"}
    sheet, array = tmp_path / "a.csv", tmp_path / "a.json"
    sheet.write_text("model,day,cost,provider\ngrok,2026-11-20,0.10,xai\ngrok,2026-11-20,1,xai\n")
    array.write_text(json.dumps([row, {**row, "cost": 1}]))
    expected = {Group(date(2026, 11, 20), "xai", "grok"): 1_100_000_000}
    assert read_bill(sheet) == read_bill(array) == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no line has a cost"),
        ("provider,model,day\na,b,2026-11-20\n", ":2: cost is missing"),
        ("provider,model,day,cost\na,b,20.11.26,1\n", ":2: day '20.11.26'"),
        ("provider,model,day,cost\na,b,2026-11-20,much\n", ":2: cost 'much'"),
        ("[1]", ":1: an object is missing"),
        ("[{", "neither CSV nor JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_its_line(
    tmp_path: Path, content: str, told: str
) -> None:
    file = tmp_path / "bill"
    file.write_text(content)
    with pytest.raises(InputError) as refused:
        read_bill(file)
    assert told in refused.value.message
