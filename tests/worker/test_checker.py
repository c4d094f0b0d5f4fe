"""Providers are checked by one worker at a time, on a timer and when somebody asks."""

import asyncio
from typing import Any

import pytest

from shared.catalog.load import load_catalog
from shared.db.providers import (
    ask_check,
    exhausted,
    know,
    read_standings,
    switch,
)
from shared.db.reach import read_reach
from shared.domain.failure import FailureKind
from tests.life import Life
from worker.adapters.base import CallError
from worker.adapters.registry import Adapters
from worker.upkeep.checker import Checker

CATALOG = load_catalog()
MODEL = CATALOG.models["gpt-4.1"]
PROVIDERS = ("openai", "azure")


class Answering:
    """An adapter's check that counts and fails as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.checks = 0
        self.error = error

    async def check(self, *, timeout: float) -> None:
        assert timeout > 0
        self.checks += 1
        if self.error:
            raise self.error


class Hanging(Answering):
    """One whose check takes as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.hang = True

    async def check(self, *, timeout: float) -> None:
        if self.hang:
            await self.gate.wait()
        await super().check(timeout=timeout)


def checker(life: Life, **adapters: Answering) -> Checker:
    return Checker(life.database, Adapters(adapters, {}, None))  # type: ignore[arg-type]


async def visits(*checkers: Checker) -> None:
    """One look of each, and all that follows from it."""
    for begun in await asyncio.gather(*(each.visit() for each in checkers)):
        await asyncio.gather(*begun)


async def row(life: Life, provider: str) -> Any:
    async with life.database.transaction() as connection:
        return (await read_standings(connection)).rows[provider]


async def test_of_two_workers_one_checks_and_again_only_when_asked(life: Life) -> None:
    adapter = Answering()
    async with life.database.transaction() as connection:
        await know(connection, ["openai"])
    both = [checker(life, openai=adapter), checker(life, openai=adapter)]
    await visits(*both)
    assert adapter.checks == 1
    found = await row(life, "openai")
    assert (found.error, found.latency_ms >= 0) == (None, True)
    async with life.database.transaction() as connection:
        asked_at = await ask_check(connection, "openai")
    await visits(*both)
    assert adapter.checks == 2
    assert (await row(life, "openai")).checked_at > asked_at


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            CallError(FailureKind.AUTH, "401: no such key"),
            "auth: the provider refuses the credential of this installation",
        ),
        (TimeoutError(), "timeout: no answer within 10 seconds"),
        (KeyError("x"), "internal: KeyError"),
    ],
)
async def test_what_a_check_found_is_written_down(life: Life, error: Exception, told: str) -> None:
    async with life.database.transaction() as connection:
        await know(connection, ["openai", "xai"])
    await visits(checker(life, openai=Answering(error), xai=Answering()))
    assert (await row(life, "openai")).error == told
    assert (await row(life, "xai")).error is None


async def test_a_slow_provider_holds_up_no_other_and_its_old_check_says_nothing(life: Life) -> None:
    slow, quick = Hanging(), Answering()
    async with life.database.transaction() as connection:
        await know(connection, ["openai", "xai"])
    ours = checker(life, openai=slow, xai=quick)
    [hanging] = [each for each in await ours.visit() if each.get_name() == "check openai"]
    async with life.database.transaction() as connection:
        asked_at = await ask_check(connection, "xai")
        await ask_check(connection, "openai")
    slow.hang = False
    await visits(ours)
    assert quick.checks == 2
    assert (await row(life, "xai")).checked_at > asked_at
    assert not hanging.done()
    after = await row(life, "openai")
    slow.error = KeyError("late")
    slow.gate.set()
    await hanging
    assert (await row(life, "openai")) == after
    assert after.error is None


async def test_a_used_up_quota_switches_off_once_and_a_person_switches_on(life: Life) -> None:
    openai, azure = (CATALOG.deployment(CATALOG.providers[each], MODEL) for each in PROVIDERS)
    async with life.database.transaction() as connection:
        assert await exhausted(connection, "openai", "insufficient_quota")
        assert not await exhausted(connection, "openai", "again")
        reach = await read_reach(connection)
        assert not reach.open(openai.provider)
        said = "provider openai is disabled by worker: insufficient_quota"
        assert reach.why_closed([openai]) == said
        assert reach.why_closed([openai, azure]) is None
        await switch(connection, "openai", enabled=True, reason=None, by="key_1")
        assert (await read_reach(connection)).open(openai.provider)
        await switch(connection, "openai", enabled=False, reason="ours", by="key_1")
        assert not await exhausted(connection, "openai", "theirs")
        reach = await read_reach(connection)
        assert reach.why_closed([openai]) == "provider openai is disabled by key_1: ours"
