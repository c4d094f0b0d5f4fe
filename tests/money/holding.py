"""A paying mill with prices of our own, and budgets that are watched while jobs come and go."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import pytest_asyncio
from sqlalchemy import text

from cli.stack.servers import Servers
from shared.db.accept import NewJob
from shared.db.engine import Database
from shared.domain.budget import AtLimit, Payer, Scope
from tests.databases import own_database
from tests.life import TENANT
from tests.mill import eventually
from tests.money.paying import Call, Payments, paying_mill
from tests.money.replay import replay

MINI: Final = "openai/gpt-4.1-mini"
CHEAP: Final = "azure/gpt-4.1-mini"
ALONE: Final = "claude-sonnet-5-5"
"""A model that one provider serves, at the price of MINI."""
TOKENS: Final = 20
"""Of each answer."""
DEAR: Final = TOKENS * 1000
"""Nano-USD of an answer: input is free here, output costs a dollar a million."""
CHEAPER: Final = TOKENS * 100
PRICES: Final = {"openai": "1", "azure": "0.1", "anthropic": "1"}
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
