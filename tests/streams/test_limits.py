"""How many streams of events one tenant may have open."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.mill import eventually
from tests.operations.test_rolling_restart import running_fleet
from tests.streams.stage import Stage, staged
from tests.streams.watching import Watcher

MOST = 2


@pytest.fixture
async def stage(database_url: str, redis_url: str) -> AsyncIterator[Stage]:
    """Before an API that gives a tenant few."""
    async with running_fleet(database_url, redis_url) as fleet:
        fleet.mill.environ["PROMPTMILL_API__MAX_STREAMS"] = str(MOST)
        await fleet.start_api(0)
        async with staged(fleet.address(0), database_url, fleet.key, redis_url) as stage:
            yield stage


async def test_a_tenant_has_so_many_streams_at_most_and_gets_the_place_of_who_leaves(
    stage: Stage,
) -> None:
    job_id = await stage.accept()
    first, second = [stage.watcher(job_id) for _ in range(MOST)]
    for watcher, _ in (first, second):
        await has_state(watcher)
    path = f"/api/v1/jobs/{job_id}/events"
    refused = await stage.client.get(path)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert refused.json()["error"]["code"] == "too_many_streams"
    second[1].cancel()
    third = Watcher(stage.client, job_id)

    async def let_in() -> bool:
        try:
            await third.watch()
        except AssertionError:
            return False
        return True

    waiting = asyncio.create_task(eventually("a place is free", let_in))
    await has_state(third)
    (await stage.client.post(f"/api/v1/jobs/{job_id}/cancel")).raise_for_status()
    await asyncio.gather(first[1], waiting)
    assert first[0].job["state"] == third.job["state"] == "cancelled"


async def has_state(watcher: Watcher) -> None:
    """Wait until the watcher was told where its job stands."""

    async def told() -> bool:
        return bool(watcher.states)

    await eventually("the watcher is told a state", told, within=15)
