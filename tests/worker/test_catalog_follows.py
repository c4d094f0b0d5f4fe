"""A worker takes the queues of those whom it can call, and follows a changed catalog as it runs."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.catalog.load import load_catalog
from tests.mill import UNLIMITED, Mill, eventually, running_mill

OURS = """
[providers.ours]
adapter = "openai"
base_url = "{url}/v1"
models = ["ours-1"]
price_provider = "openai"
[models.ours-1]
price_model = "gpt-4.1-mini"
[deployments."ours/ours-1"]
upstream = "gpt-4.1-mini"
"""
EVERYBODY = ",".join([*load_catalog().queues(), "upkeep"])


@pytest.fixture
async def mill(database_url: str, redis_url: str) -> AsyncIterator[Mill]:
    async with running_mill(database_url, redis_url) as mill:
        await mill.start_simulator(**{"latency-ms": 1500, "latency-spread": 0.0})
        yield mill


async def worker_row(mill: Mill) -> Any:
    return await mill.life.one("SELECT queues, missing FROM workers WHERE state = 'alive'")


async def taken(mill: Mill, queue: str, *, wanted: bool) -> None:
    async def so() -> bool:
        return (queue in (await worker_row(mill)).queues) is wanted

    await eventually(f"{queue} is {'' if wanted else 'not '}taken", so)


async def test_a_provider_comes_and_goes_and_no_job_is_lost(mill: Mill) -> None:
    catalog = mill.folder / "catalog.toml"
    with_ours = UNLIMITED + OURS.format(url=mill.simulator_url)
    await mill.start_worker(queues=EVERYBODY)
    row = await worker_row(mill)
    assert row.queues == ["simulator", "upkeep"]
    assert row.missing["openai"] == "OPENAI_API_KEY is not set for the workers"
    # Nobody serves it yet: it waits, and holds up nobody.
    early = await mill.submit(2, route="ours-1")
    rehearsed = await mill.submit(1)
    await mill.in_state("succeeded", 1)
    catalog.write_text(with_ours)
    assert (await mill.all_final())["succeeded"] == 3
    # It goes in the middle of a call, which ends as it began.
    running = await mill.submit(1, route="ours-1")
    await mill.in_state("running", 1)
    catalog.write_text(UNLIMITED)
    await taken(mill, "ours", wanted=False)
    late = await mill.submit(1, route="ours-1")
    await mill.in_state("succeeded", 4)
    assert (await mill.life.job(late[0])).state == "queued"
    catalog.write_text(with_ours)
    assert (await mill.all_final())["succeeded"] == 5
    assert mill.workers[0].poll() is None
    await mill.check(early + rehearsed + running + late)


async def test_a_worker_that_can_call_nobody_waits_and_one_of_some_queues_keeps_to_them(
    mill: Mill,
) -> None:
    await mill.start_worker(queues="openai")
    assert (await worker_row(mill)).queues == []
    assert set((await worker_row(mill)).missing) == {"openai"}
    ours = OURS.format(url=mill.simulator_url)
    keyless = '[providers.openai]\nkey_variables = []\nbase_url = "{}/v1"\n'
    (mill.folder / "catalog.toml").write_text(UNLIMITED + ours + keyless.format(mill.simulator_url))
    await taken(mill, "openai", wanted=True)
    assert (await worker_row(mill)).queues == ["openai"]
    asked = await mill.submit(1, route="gpt-4.1-mini")
    assert (await mill.all_final())["succeeded"] == 1
    assert asked
