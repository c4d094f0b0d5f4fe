"""Budgets hold in a whole mill: whatever runs, crashes or turns, no window goes beyond its cap."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any, Final

import httpx2
import pytest
from sqlalchemy import text

from shared.domain.budget import AtLimit, Every
from shared.routing.stored import StoredPolicy
from tests.mill import eventually
from tests.money.doors import api_of
from tests.money.holding import (
    ALONE,
    BURST,
    CHEAP,
    CHEAPER,
    DEAR,
    FIT,
    MINI,
    SHARES,
    TOKENS,
    at_once,
    come_to,
    mill,
    project_of,
    questions,
    sampled,
    settled,
    states,
)
from tests.money.paying import Payments

__all__ = ["mill"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
REFUSED: Final = "budget_exceeded"
UNAVAILABLE: Final = 503


async def test_of_500_at_once_exactly_as_many_run_as_fit_and_the_others_fail(
    mill: Payments,
) -> None:
    await mill.workers(2)
    project = await project_of(mill, FIT * DEAR, AtLimit.REJECT)
    async with sampled(mill) as samples:
        await at_once(mill, questions(BURST, project))
        ends = {("succeeded", None): FIT, ("failed", "budget"): BURST - FIT}
        await come_to(mill, project, ends)
    assert await mill.spent(project) == FIT * DEAR
    assert samples.most_held[project] <= FIT * DEAR
    await settled(mill)


async def posted(caller: httpx2.AsyncClient, body: Any, key: str) -> httpx2.Response:
    """The answer to a submission; a server that has too much to do is asked again."""
    while True:
        try:
            reply = await caller.post("/api/v1/jobs", json=body, headers={"idempotency-key": key})
            if reply.status_code != UNAVAILABLE:
                return reply
            pause = float(reply.headers["retry-after"])
        except httpx2.TransportError:
            pause = 1.0
        await asyncio.sleep(pause)


async def test_of_500_at_the_door_at_once_exactly_as_many_run_as_fit(mill: Payments) -> None:
    await mill.workers(2)
    project = await project_of(mill, FIT * DEAR, AtLimit.REJECT)
    request = {"model": ALONE, "messages": [{"role": "user", "content": "Why?"}]}
    body: dict[str, Any] = {"request": {**request, "max_tokens": TOKENS}, "project": project}
    async with api_of(mill) as client, sampled(mill) as samples:
        every = httpx2.AsyncClient(
            base_url=client.base_url, headers=client.headers, timeout=120,
            limits=httpx2.Limits(max_connections=BURST),
        )  # fmt: skip
        async with every as caller:
            replies = await asyncio.gather(
                *(posted(caller, body, f"{project}-{n}") for n in range(BURST))
            )
        taken = [reply.json() for reply in replies if reply.status_code == 202]
        refused = [reply.json()["error"]["code"] for reply in replies if reply.status_code == 402]
        assert (len(taken) + len(refused), set(refused)) == (BURST, {REFUSED} if refused else set())
        mill.accepted += [job["id"] for job in taken]
        ends = {("succeeded", None): FIT, ("failed", "budget"): len(taken) - FIT}
        await come_to(mill, project, {end: number for end, number in ends.items() if number})
    assert await mill.spent(project) == FIT * DEAR
    assert samples.most_held[project] <= FIT * DEAR
    await settled(mill)


async def test_each_share_of_a_cap_is_told_once_by_all_the_workers_together(
    mill: Payments,
) -> None:
    await mill.workers(2)
    project = await project_of(mill, 8 * DEAR, AtLimit.PARK)
    await at_once(mill, questions(8, project))
    await come_to(mill, project, {("succeeded", None): 8})

    async def all_told() -> bool:
        rows = await mill.mill.life.all(
            "SELECT percent FROM budget_alerts JOIN budget_windows ON budget_windows.id = window_id"
            " WHERE budget_id = :project AND told_at IS NOT NULL ORDER BY percent",
            project=project,
        )
        return tuple(row.percent for row in rows) == SHARES

    await eventually("every share is told", all_told)
    told = Counter(
        line["percent"]
        for log in mill.mill.folder.glob("worker*.log")
        for line in map(json.loads, log.read_text().splitlines())
        if line["event"] == "budget_alert" and line["budget_id"] == project
    )
    assert told == dict.fromkeys(SHARES, 1)


async def test_what_parks_waits_and_goes_on_when_the_cap_is_raised(mill: Payments) -> None:
    await mill.workers(2)
    project = await project_of(mill, FIT * DEAR, AtLimit.PARK)
    async with sampled(mill):
        await at_once(mill, questions(20, project))
        await come_to(mill, project, {("succeeded", None): FIT, ("queued", None): 20 - FIT})
        await mill.raise_cap(project, 12 * DEAR)
        await come_to(mill, project, {("succeeded", None): 12, ("queued", None): 8})
        await mill.raise_cap(project, 20 * DEAR)
        await come_to(mill, project, {("succeeded", None): 20})
    assert await mill.spent(project) == 20 * DEAR
    await settled(mill)


async def test_what_parks_goes_on_when_the_window_turns(mill: Payments) -> None:
    await mill.workers(2)
    project = await project_of(mill, 2 * DEAR, AtLimit.PARK, every=Every.DAY)
    await at_once(mill, questions(5, project))
    for done in (2, 4):
        await come_to(mill, project, {("succeeded", None): done, ("queued", None): 5 - done})
        async with mill.mill.database.transaction() as connection:
            # As if it had been some other day's: the next look opens that of this moment.
            await connection.execute(
                text(
                    "UPDATE budget_windows SET starts_at = starts_at - make_interval(days => :ago),"
                    " ends_at = ends_at - make_interval(days => :ago)"
                    " WHERE budget_id = :project AND starts_at > now() - interval '1 day'"
                ),
                {"project": project, "ago": 10 - done},
            )
    await come_to(mill, project, {("succeeded", None): 5})
    assert await mill.spent(project) == 5 * DEAR
    await settled(mill)


async def test_near_the_cap_the_cheaper_route_goes_on_and_stops_at_the_cap(mill: Payments) -> None:
    await mill.workers(2)
    project = await project_of(mill, 10 * DEAR, AtLimit.DOWNGRADE, downgrade_at=60)
    way = StoredPolicy(candidates=(MINI,), downgrades=(CHEAP,))
    jobs = [replace(job, policy=way) for job in questions(60, project)]
    async with sampled(mill):
        await at_once(mill, jobs)
        cheap = 4 * DEAR // CHEAPER
        await come_to(
            mill, project, {("succeeded", None): 6 + cheap, ("queued", None): 60 - 6 - cheap}
        )
    rows = await mill.mill.life.all(
        "SELECT deployment FROM attempts JOIN jobs ON jobs.id = job_id"
        " WHERE project = :project AND attempts.state = 'answered'",
        project=project,
    )
    assert Counter(row.deployment for row in rows) == {MINI: 6, CHEAP: cheap}
    assert await mill.spent(project) == 10 * DEAR
    await settled(mill)


async def test_calls_that_cost_less_than_they_may_never_hold_more_than_fits(
    mill: Payments,
) -> None:
    """Ten times what each costs is held; workers are killed with holds on their calls."""
    await mill.workers(2)
    hold = 10 * DEAR
    project = await project_of(mill, FIT * hold, AtLimit.PARK)
    async with sampled(mill) as samples:
        await at_once(mill, questions(40, project, max_tokens=10 * TOKENS))

        async def some_ran() -> bool:
            return (await states(mill, project))["succeeded", None] >= 5

        await eventually("some calls end", some_ran)
        await mill.workers(0)
        await mill.workers(1)
        await mill.raise_cap(project, 100 * hold)
        await come_to(mill, project, {("succeeded", None): 40})
    assert samples.most_held[project] > 0
    held = await mill.mill.life.all(
        "SELECT max(admissions.held_nano) AS most"
        " FROM admissions JOIN budget_windows ON id = window_id"
        " WHERE budget_id = :project AND cap_nano = :cap",
        project=project, cap=FIT * hold,
    )  # fmt: skip
    assert hold <= held[0].most <= FIT * hold
    await settled(mill)
