"""What happens in one process to everybody who watches."""

import asyncio
from typing import Any

import pytest

from api.jobs.watchers import Watchers
from shared.streamlog import START, Entry, EntryKind, Position

NOBODY: Any = None
BEGIN = Entry(Position(1, 1), EntryKind.BEGIN, "{}")


async def test_a_service_that_breaks_leaves_nobody_waiting_and_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broke: list[str] = []

    async def read(_: Any, asked: list[Any]) -> list[list[Entry]]:
        if not broke:
            broke.append("once")
            message = "an unforeseen answer of a library"
            raise LookupError(message)
        return [[BEGIN] for _ in asked]

    monkeypatch.setattr("shared.services.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("api.jobs.watchers.read_logs", read)
    watchers = Watchers(NOBODY, NOBODY, NOBODY, most_each=1)
    running = asyncio.create_task(watchers.run())
    try:
        async with asyncio.timeout(5):
            assert await watchers.read("job_1", START) == []
            assert await watchers.read("job_1", START) == [BEGIN]
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
