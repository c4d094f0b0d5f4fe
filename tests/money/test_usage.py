"""Usage by any period, in any time zone, by any word: always the sums of the same calls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.catalog.savings import saved_by_cache
from shared.db.rollup import prune_minutes, roll_up
from shared.db.usage import Page, Span, read_usage
from shared.domain.budget import Every
from shared.domain.usage import Dimension, bucket_of, outcome_of, percentile
from tests.life import Life, answered, new_job

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
WEEK = Span(tenant_id="ten_a", start=MIDNIGHT, end=MIDNIGHT + 7 * DAY)


@dataclass(frozen=True)
class Call:
    """A call and when it was sent."""

    after: timedelta
    cost: int
    project: str | None = None
    tags: tuple[str, ...] | None = None
    tenant: str = "ten_a"
    route: str = "gpt-4.1-mini"
    latency: int = 100


CALLS = (
    Call(timedelta(0), 1, project="apollo", tags=("a", "b")),
    Call(30 * MINUTE, 2, project="apollo"),
    Call(23 * HOUR + 30 * MINUTE, 4, tags=("a",), latency=800),
    Call(DAY + 5 * MINUTE, 8),
    Call(3 * DAY, 16, project="gemini"),
    Call(3 * DAY, 32, tenant="ten_b"),
    Call(3 * DAY, 64, route="rehearsal:gpt-4.1-mini"),
    Call(7 * DAY, 128),
)


async def usage(life: Life, span: Span = WEEK, *by: Dimension, **page: Any) -> list[Any]:
    async with life.database.transaction() as connection:
        return await read_usage(connection, span, Page(group_by=by, **page))


def costs(rows: Sequence[Any]) -> dict[Any, int]:
    """By the group, or by the hours since the first midnight."""
    return {getattr(row, "group_0", (row.at - MIDNIGHT) / HOUR): row.cost_nano for row in rows}


@pytest.fixture
async def called(life: Life) -> Life:
    """The calls, summed up."""
    jobs = [new_job(project=call.project, tags=call.tags, tenant_id=call.tenant) for call in CALLS]
    started = {each.job_id: each for each in await life.started(*jobs)}
    await life.leave(
        *(
            answered(started[job.id], cost_nano=call.cost, latency_ms=call.latency)
            for job, call in zip(jobs, CALLS, strict=True)
        )
    )
    async with life.database.transaction() as connection:
        for job, call in zip(jobs, CALLS, strict=True):
            values = {"id": job.id, "at": MIDNIGHT + call.after, "route": call.route}
            for change in (
                "UPDATE attempts SET sent_at = :at WHERE job_id = :id",
                "UPDATE jobs SET route = :route WHERE id = :id",
            ):
                await connection.execute(text(change), values)
        assert await roll_up(connection) == len(CALLS)
    return life


async def test_every_period_has_the_same_sum(called: Life) -> None:
    for every in Every:
        if every in {Every.QUARTER, Every.YEAR}:
            continue
        rows = await usage(called, replace(WEEK, every=every))
        assert sum(row.cost_nano for row in rows) == 31, every
    assert costs(await usage(called, replace(WEEK, every=Every.DAY))) == {0: 7, 24: 8, 72: 16}
    assert costs(await usage(called, replace(WEEK, every=Every.HOUR))) == {
        0: 3, 23: 4, 24: 8, 72: 16,
    }  # fmt: skip


async def test_a_time_that_is_not_whole_days_is_exact(called: Life) -> None:
    cut = replace(WEEK, start=MIDNIGHT + 10 * MINUTE, end=MIDNIGHT + 3 * DAY + MINUTE)
    assert [grain for grain, _, _ in cut.pieces()] == ["minute", "hour", "day", "minute"]
    assert costs(await usage(called, replace(cut, every=Every.DAY))) == {0: 6, 24: 8, 72: 16}
    within = replace(WEEK, start=MIDNIGHT + 10 * MINUTE, end=MIDNIGHT + 40 * MINUTE)
    assert costs(await usage(called, within)) == {10 / 60: 2}


async def test_a_day_elsewhere_is_made_of_hours_or_of_minutes(called: Life) -> None:
    kathmandu = replace(WEEK, every=Every.DAY, time_zone="Asia/Kathmandu")
    assert {grain for grain, _, _ in kathmandu.pieces()} == {"minute"}
    # In Berlin 23:30 UTC is half past midnight of the next day.
    berlin = replace(WEEK, every=Every.DAY, time_zone="Europe/Berlin")
    assert {grain for grain, _, _ in berlin.pieces()} == {"hour"}
    assert sum(costs(await usage(called, kathmandu)).values()) == 31
    assert costs(await usage(called, berlin)) == {-1: 3, 23: 12, 71: 16}


async def test_calls_are_told_apart_and_chosen_by_words(called: Life) -> None:
    assert costs(await usage(called, WEEK, Dimension.PROJECT)) == {
        "": 12,
        "apollo": 3,
        "gemini": 16,
    }
    assert costs(await usage(called, WEEK, Dimension.TAG)) == {"": 26, "a": 5, "b": 1}
    chosen = replace(WEEK, filters={Dimension.TAG: ["a"], Dimension.OUTCOME: ["answered"]})
    [row] = await usage(called, chosen)
    assert (row.calls, row.answered, row.cost_nano) == (2, 2, 5)
    assert sum(row.latencies) == 2
    assert await usage(called, replace(WEEK, filters={Dimension.OUTCOME: ["refused"]})) == []


async def test_others_and_rehearsals_stay_apart(called: Life) -> None:
    everybody = replace(WEEK, tenant_id=None)
    assert costs(await usage(called, everybody, Dimension.TENANT)) == {"a": 31, "b": 32}
    assert costs(await usage(called, replace(WEEK, rehearsals=True))) == {0: 64}


async def test_a_list_goes_on_where_it_stopped(called: Life) -> None:
    span = replace(WEEK, every=Every.DAY)
    by = (Dimension.PROJECT, Dimension.MODEL)
    whole = await usage(called, span, *by)
    found: list[Any] = []
    while len(found) < len(whole):
        after = [found[-1].at.isoformat(), found[-1].group_0, found[-1].group_1] if found else None
        page = await usage(called, span, *by, limit=1, after=after)
        found.append(page[0])
        assert len(page) == 1 + (len(found) < len(whole)), "one more tells that there is more"
    assert found == whole


async def test_minutes_are_let_go_and_hours_stay(called: Life) -> None:
    async with called.database.transaction() as connection:
        assert await prune_minutes(connection, MIDNIGHT + 2 * DAY) == 4
    assert sum(row.cost_nano for row in await usage(called)) == 31
    assert sum(costs(await usage(called, replace(WEEK, every=Every.HOUR))).values()) == 31
    assert sum(costs(await usage(called, replace(WEEK, every=Every.MINUTE))).values()) == 16


def test_percentiles_are_within_the_root_of_two() -> None:
    latencies = [0] * 48
    took = [1, 3, 10, 120, 250, 400, 401, 402, 950, 7000]
    for each in took:
        latencies[bucket_of(each)] += 1
    for share, real in ((0.5, 250), (0.9, 950), (1.0, 7000)):
        estimate = percentile(latencies, share)
        assert estimate is not None
        assert real / 2**0.5 <= estimate <= real * 2**0.5
    assert percentile([], 0.5) is None
    assert [bucket_of(each) for each in (0, 1, 2, 3, 10**12)] == [0, 1, 3, 4, 47]


def test_an_outcome_is_its_state_and_what_failed() -> None:
    assert outcome_of("answered", None) == "answered"
    assert outcome_of("answered", "timeout") == "answered", "it was unknown first"
    assert outcome_of("unknown", "timeout") == "unknown"
    assert outcome_of("refused", "rate_limited") == "refused:rate_limited"


@pytest.mark.parametrize(
    ("words", "saved"),
    [
        ("input 2, cached 0.5, output 8; USD per million tokens", 1_500_000),
        ("input 2 (above 900: 4), cached 0.5 (above 900: 1), output 8; USD", 3_000_000),
        ("input 2 (above 5000: 4), cached 0.5, output 8; USD", 1_500_000),
        ("input 2, output 8; USD per million tokens", 0),
        ("free", 0),
    ],
)
def test_a_cache_saves_what_its_tokens_would_have_cost_more(words: str, saved: int) -> None:
    assert saved_by_cache(words, input_tokens=1500, cached_tokens=1000) == saved
