"""Who can take a job, has a key and is switched on, as the database tells it."""

from dataclasses import replace

from shared.catalog.load import load_catalog
from shared.db.providers import switch
from shared.db.release import due_jobs
from shared.db.workers import WorkerRow, change, register
from tests.life import ROUTE, Life, new_job
from worker.dispatch.fleet import Fleet

CATALOG = load_catalog()
PLAN = tuple(CATALOG.find(f"{provider}/gpt-4.1") for provider in ("openai", "azure"))
FIRST, SECOND = (deployment.id for deployment in PLAN)


async def test_a_job_that_nobody_open_can_take_waits_and_hides_nobody(life: Life) -> None:
    only_first = [new_job(unfit=(SECOND,)) for _ in range(3)]
    anybody = new_job()
    await life.accept(*only_first, anybody)
    async with life.database.transaction() as connection:
        both = await due_jobs(connection, ROUTE, 2, deployments=[FIRST, SECOND])
        second = await due_jobs(connection, ROUTE, 2, deployments=[SECOND])
    assert [job.id for job in both] == [job.id for job in only_first[:2]]
    assert [job.id for job in second] == [anybody.id]


async def test_who_cannot_take_a_job_is_remembered_until_it_is_released(life: Life) -> None:
    await life.accept(new_job(unfit=(FIRST, SECOND)), new_job())
    async with life.database.transaction() as connection:
        due = await due_jobs(connection, ROUTE, 10, deployments=[FIRST, SECOND, "another"])
    assert sorted(job.unfit for job in due) == [(), (FIRST, SECOND)]


async def test_who_is_ready_nowhere_or_switched_off_is_closed_at_the_next_look(life: Life) -> None:
    fleet = Fleet()
    catalog = load_catalog(simulator_url="http://127.0.0.1:5")
    staged = catalog.plan("rehearsal:gpt-4.1")

    async def look() -> list[str]:
        async with life.database.transaction() as connection:
            await fleet.count(connection)
        return [deployment.id for deployment in fleet.open_of((*PLAN, *staged))]

    async def set_openai(*, enabled: bool) -> None:
        async with life.database.transaction() as connection:
            await switch(connection, "openai", enabled=enabled, reason=None, by="key_1")

    # The worker of every test takes the queue of openai; another one takes two more.
    assert await look() == [FIRST]
    other = WorkerRow(
        id="wrk_other",
        host="here",
        pid=2,
        queues=("azure", "simulator"),
        capacity=1,
        missing={"openai": "no key", "simulator-xai": "no address"},
    )
    async with life.database.transaction() as connection:
        await register(connection, other, 30.0)
    assert await look() == [FIRST, SECOND, "simulator/gpt-4.1"]
    async with life.database.transaction() as connection:
        await change(connection, replace(other, missing={"azure": "no key"}))
    assert await look() == [FIRST, "simulator/gpt-4.1"]
    await set_openai(enabled=False)
    assert await look() == ["simulator/gpt-4.1"]
    await set_openai(enabled=True)
    assert await look() == [FIRST, "simulator/gpt-4.1"]
