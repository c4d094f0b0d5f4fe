"""Finishing: one odd row is stored as well as it can be, and costs the others nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.db.leave import Leaving, Left
from shared.domain.attempt import AttemptState
from shared.domain.failure import FailureKind
from shared.domain.job import JobState
from shared.settings import WorkerSettings
from tests.db.books import check_books
from tests.life import COST, Life, answered, new_job
from tests.pipeline.attempts import attempt
from worker.failpoint import Failpoints
from worker.pipeline.finish import Finisher, sanitised

ROWS = 100


class Told:
    """Hears of each batch that was finished."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Left]] = []

    async def __call__(self, left: Sequence[Left]) -> None:
        self.batches.append(left)


def said(content: str) -> str:
    return orjson.dumps({"content": content}).decode()


async def finish(life: Life, reports: Sequence[Leaving]) -> Told:
    told = Told()
    settings = WorkerSettings(flush_rows=ROWS)
    desk = Finisher(life.database, settings, Failpoints(None), told)
    async with asyncio.timeout(30):
        await asyncio.gather(*(desk.finish(report) for report in reports))
    return told


async def stored(life: Life, job_id: str) -> Any:
    return await life.one("SELECT body, sanitised FROM results WHERE job_id = :id", id=job_id)


async def test_a_nul_in_one_of_a_hundred_answers_spoils_no_other(life: Life) -> None:
    attempts = await life.started(*(new_job() for _ in range(ROWS)))
    reports = [
        answered(each, result=said("a\x00b \\u0000" if n == 41 else f"answer {n}"))
        for n, each in enumerate(attempts)
    ]
    told = await finish(life, reports)
    assert [len(batch) for batch in told.batches] == [ROWS]
    for n, each in enumerate(attempts):
        row = await stored(life, each.job_id)
        odd = n == 41
        assert row.sanitised == odd
        assert row.body == {"content": "a\ufffdb \\u0000" if odd else f"answer {n}"}
    states = await life.one("SELECT count(*) AS n FROM jobs WHERE state = 'succeeded'")
    assert states.n == ROWS
    assert await life.money() == (ROWS * COST, 0)
    await check_books(life)


@pytest.mark.parametrize(
    "odd",
    [
        {"result": "[" * 50_000 + "]" * 50_000},
        {"result": "no json"},
        {"usage": "no json"},
        {"latency_ms": 2**40},
    ],
    ids=lambda odd: next(iter(odd)),
)
async def test_a_row_that_cannot_be_stored_fails_with_its_cost_and_alone(
    life: Life, odd: dict[str, Any]
) -> None:
    attempts = await life.started(*(new_job() for _ in range(9)))
    reports = [answered(each) for each in attempts]
    reports[4] = answered(attempts[4], **odd)
    await finish(life, reports)
    spoilt = await life.job(attempts[4].job_id)
    assert (spoilt.state, spoilt.error_kind) == (JobState.FAILED, FailureKind.INTERNAL)
    assert "could not be stored" in spoilt.error
    assert (await life.attempt(attempts[4].attempt_id)).cost_nano == spoilt.cost_nano == COST
    others = [await life.job(each.job_id) for each in attempts if each is not attempts[4]]
    assert {job.state for job in others} == {JobState.SUCCEEDED}
    assert await life.money() == (9 * COST, 0)
    await check_books(life)


@pytest.mark.parametrize("words", ["NUL \x00.", "half a pair \ud800."])
async def test_a_complaint_that_postgres_refuses_is_kept_in_other_letters(
    life: Life, words: str
) -> None:
    [started] = await life.started()
    report = answered(
        started,
        attempt_state=AttemptState.REFUSED,
        job_state=JobState.FAILED,
        cost_nano=0,
        result=None,
        failure_kind=FailureKind.BAD_REQUEST,
        error=words,
    )
    await finish(life, [report])
    job = await life.job(started.job_id)
    assert (job.state, job.error_kind) == (JobState.FAILED, FailureKind.BAD_REQUEST)
    assert job.error[:3] == words[:3]
    await check_books(life)


async def test_a_report_that_comes_twice_counts_once(life: Life) -> None:
    [started] = await life.started()
    await finish(life, [answered(started), answered(started)])
    await finish(life, [answered(started, cost_nano=COST * 5)])
    assert await life.money() == (COST, 0)
    await check_books(life)


@given(content=st.text(st.sampled_from('\x00\\u0"añ\n') | st.characters(codec="utf-8")))
def test_only_nuls_are_replaced_whatever_stands_around_them(content: str) -> None:
    kept = sanitised(answered(attempt(), result=said(content)))
    assert orjson.loads(kept.result or "") == {"content": content.replace("\x00", "\ufffd")}
    assert kept.sanitised
    assert kept.cost_nano == COST
