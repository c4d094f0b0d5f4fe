"""Providers are checked by one worker at a time, on a timer and when somebody asks."""

import asyncio
from typing import Any

import pytest

from shared.db.providers import (
    ask_check,
    closed,
    exhausted,
    know,
    read_standings,
    switch,
    why_off,
)
from shared.domain.failure import FailureKind
from tests.life import Life
from worker.adapters.base import CallError
from worker.adapters.registry import Adapters
from worker.upkeep.checker import Checker


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


def checker(life: Life, **adapters: Answering) -> Checker:
    return Checker(life.database, Adapters(adapters, {}))  # type: ignore[arg-type]


async def row(life: Life, provider: str) -> Any:
    async with life.database.transaction() as connection:
        return (await read_standings(connection)).rows[provider]


async def test_of_two_workers_one_checks_and_again_only_when_asked(life: Life) -> None:
    adapter = Answering()
    async with life.database.transaction() as connection:
        await know(connection, ["openai"])
    both = [checker(life, openai=adapter), checker(life, openai=adapter)]
    await asyncio.gather(*(each.visit() for each in both))
    assert adapter.checks == 1
    found = await row(life, "openai")
    assert (found.error, found.latency_ms >= 0) == (None, True)
    async with life.database.transaction() as connection:
        asked_at = await ask_check(connection, "openai")
    await asyncio.gather(*(each.visit() for each in both))
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
    await checker(life, openai=Answering(error), xai=Answering()).visit()
    assert (await row(life, "openai")).error == told
    assert (await row(life, "xai")).error is None


async def test_a_used_up_quota_switches_off_once_and_a_person_switches_on(life: Life) -> None:
    async with life.database.transaction() as connection:
        assert await exhausted(connection, "openai", "insufficient_quota")
        assert not await exhausted(connection, "openai", "again")
        assert "openai" in await closed(connection)
        said = await why_off(connection, ["openai"])
        assert said == "provider openai is disabled by worker: insufficient_quota"
        assert await why_off(connection, ["openai", "azure"]) is None
        await switch(connection, "openai", enabled=True, reason=None, by="key_1")
        assert "openai" not in await closed(connection)
        await switch(connection, "openai", enabled=False, reason="ours", by="key_1")
        assert not await exhausted(connection, "openai", "theirs")
        assert await why_off(connection, ["openai"]) == (
            "provider openai is disabled by key_1: ours"
        )
