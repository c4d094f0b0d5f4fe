"""Budgets hold in a whole mill: whatever runs, crashes or turns, no window goes beyond its cap."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

import pytest
import pytest_asyncio
from sqlalchemy import text

from cli.stack.servers import Servers
from shared.db.accept import NewJob
from shared.db.engine import Database
from shared.domain.budget import AtLimit, Every, Payer, Scope
from tests.databases import own_database
from tests.life import TENANT
from tests.mill import eventually
from tests.money.paying import Call, Payments, paying_mill, policy
from tests.money.replay import replay

pytestmark = pytest.mark.asyncio(loop_scope="module")
MINI: Final = "openai/gpt-4.1-mini"
CHEAP: Final = "azure/gpt-4.1-mini"
TOKENS: Final = 20
"""Of each answer."""
DEAR: Final = TOKENS * 1000
"""Nano-USD of an answer: input is free at OpenAI here, output costs a dollar a million."""
CHEAPER: Final = TOKENS * 100
PRICES: Final = {"openai": "1", "azure": "0.1"}
BURST: Final = 500
FIT: Final = 7
SHARES: Final = (50, 75, 90, 100)
NAMES: Final = count()


@dataclass
class Samples:
    """What a second connection saw of all windows, as fast as it could look."""

    looks: int = 0
    most_held: Counter[str] = field(default_factory=Counter)
    """By budget, nano-USD."""
    beyond: list[Any] = field(default_factory=list)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mill(servers: Servers) -> AsyncIterator[Payments]:
    """Answers of TOKENS tokens at prices of our own."""
    with own_database(servers, "budgets_hold") as url:
        options: dict[str, Any] = {"output-tokens": f"{TOKENS}-{TOKENS}", "latency-ms": 60}
        async with paying_mill(url, servers.redis_url, **options) as payments:
            catalog = payments.mill.folder / "catalog.toml"
            rows = catalog.read_text()
            for name, usd in PRICES.items():
                row = f"[providers.{name}]\n"
                assert row in rows
                rows = rows.replace(row, f'{row}prices = {{ output = "{usd}" }}\n')
            catalog.write_text(rows)
            yield payments


@asynccontextmanager
async def sampled(payments: Payments) -> AsyncIterator[Samples]:
    """Look at the windows all the time; no look may find one beyond its cap."""
    samples = Samples()
    database = Database(
        payments.mill.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"),
        pool_size=1,
    )

    async def look() -> None:
        while True:
            async with database.transaction() as connection:
                rows = await connection.execute(
                    text(
                        "SELECT budget_id, spent_nano, held_nano, cap_nano FROM budget_windows"
                        " JOIN budgets ON budgets.id = budget_id"
                    )
                )
                for row in rows:
                    held = max(samples.most_held[row.budget_id], row.held_nano)
                    samples.most_held[row.budget_id] = held
                    if row.spent_nano + row.held_nano > row.cap_nano:
                        samples.beyond.append(row)
            samples.looks += 1
            await asyncio.sleep(0.005)

    looking = asyncio.create_task(look())
    try:
        yield samples
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await database.close()
    assert samples.looks > 0
    assert samples.beyond == []


async def project_of(payments: Payments, cap: int, at_limit: AtLimit, **more: Any) -> str:
    """A project of a test's own and its budget, both of this name; its shares are told."""
    name = f"hold-{next(NAMES)}"
    await payments.budget(name, Payer(TENANT, Scope.PROJECT, name), cap, at_limit, **more)
    async with payments.mill.database.transaction() as connection:
        await connection.execute(
            text("UPDATE budgets SET alerts = :shares WHERE id = :id"),
            {"shares": list(SHARES), "id": name},
        )
    return name


def questions(number: int, project: str, *, max_tokens: int = TOKENS) -> list[NewJob]:
    """Jobs of the project, of one deployment."""
    call = Call("Why?", max_tokens=max_tokens)
    return [call.job(MINI, project=project) for _ in range(number)]


async def at_once(payments: Payments, jobs: Sequence[NewJob]) -> list[str]:
    """Each accepted by a submission of its own, all at the same time."""
    accepted = await asyncio.gather(*(payments.accept(job) for job in jobs))
    return [job_id for ids in accepted for job_id in ids]


async def states(payments: Payments, project: str) -> Counter[tuple[str, str | None]]:
    rows = await payments.mill.life.all(
        "SELECT state, error_kind FROM jobs WHERE project = :project", project=project
    )
    return Counter((row.state, row.error_kind) for row in rows)


async def come_to(
    payments: Payments, project: str, wanted: dict[tuple[str, str | None], int]
) -> None:
    async def reached() -> bool:
        return await states(payments, project) == Counter(wanted)

    try:
        await eventually(f"{project} comes to {wanted}", reached, within=120)
    except AssertionError as error:
        raise AssertionError(f"{error}: {await states(payments, project)}") from None


async def settled(payments: Payments) -> None:
    """Nothing is held, no window was ever beyond its cap, and the ledger says the same."""

    async def nothing_held() -> bool:
        row = await payments.mill.life.one("SELECT sum(held_nano) AS n FROM budget_windows")
        return not row.n

    await eventually("all holds come back", nothing_held)
    assert await payments.check_budgets() > 0
    life = payments.mill.life
    assert all(each.within for each in await replay(life, payments.raised))


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
    way = policy(MINI, downgrades=(CHEAP,))
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
