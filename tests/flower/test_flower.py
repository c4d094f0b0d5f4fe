"""Flower shows every job as a task of its own, and what is ordered there happens to the job."""

import httpx2

from tests.flower.conftest import SLOTS, WORKER, Flower
from tests.mill import eventually

SECONDS = 1.5
"""Of each call."""


async def test_a_job_is_shown_with_its_state_runtime_worker_and_queue(flower: Flower) -> None:
    [job_id] = await flower.mill.submit(1)
    running = await flower.shown(job_id, "STARTED")
    done = await flower.shown(job_id, "SUCCESS")
    assert (running["name"], running["worker"]) == ("generate", WORKER)
    assert done["routing_key"] == "simulator"
    assert "simulator/gpt-4.1-mini" in done["args"]
    assert "question" not in str(done), "no word of a prompt"
    assert SECONDS < done["runtime"] < SECONDS + 1
    assert done["result"].startswith("cost $")


async def test_jobs_that_wait_are_shown_and_counted_right_in_the_end(flower: Flower) -> None:
    accepted = await flower.mill.submit(3 * SLOTS)
    await flower.shown(accepted[-1], "PENDING")
    active = (await flower.get("/api/workers", refresh="true", workername=WORKER))[WORKER]["active"]
    assert {task["id"] for task in active} < set(accepted)
    assert len(active) == SLOTS
    await flower.mill.all_final()
    for job_id in accepted:
        assert (await flower.shown(job_id, "SUCCESS"))["worker"] == WORKER
    metrics = (await flower.http.get("/metrics")).text
    for kind in ("received", "succeeded"):
        counted = f'flower_events_total{{task="generate",type="task-{kind}",worker="{WORKER}"}}'
        assert f"{counted} {3 * SLOTS:.1f}" in metrics
    await flower.mill.check(accepted)


async def test_a_revoke_cancels_a_running_job_and_a_waiting_one(flower: Flower) -> None:
    accepted = await flower.mill.submit(SLOTS + 1)
    running, waiting = accepted[0], accepted[-1]
    await flower.shown(running, "STARTED")
    await flower.shown(waiting, "PENDING")
    for job_id in (waiting, running):
        await flower.post(f"/api/task/revoke/{job_id}", terminate="true")
    for job_id in (waiting, running):
        await flower.shown(job_id, "REVOKED")
        assert (await flower.mill.life.job(job_id)).state == "cancelled"
    await flower.mill.all_final()
    await flower.mill.check(accepted)


async def test_the_pool_grows_and_shrinks(flower: Flower) -> None:
    async def capacity() -> int:
        return int((await flower.mill.life.one("SELECT capacity FROM workers")).capacity)

    await flower.post(f"/api/worker/pool/grow/{WORKER}", n="5")

    async def grown() -> bool:
        return await capacity() == SLOTS + 5

    await eventually("the fleet knows", grown)
    accepted = await flower.mill.submit(2 * SLOTS)
    await flower.mill.in_state("running", SLOTS + 5)
    await flower.post(f"/api/worker/pool/shrink/{WORKER}", n=str(SLOTS))
    await flower.mill.all_final()
    assert (await flower.mill.stats())["max_in_flight"] == SLOTS + 5
    assert await capacity() == 5
    await flower.mill.check(accepted)


async def test_queue_lengths_are_those_of_the_broker(flower: Flower) -> None:
    queues = {
        queue["name"]: queue["messages"]
        for queue in (await flower.get("/api/queues/length"))["active_queues"]
    }
    # Without a key of OpenAI's the worker takes none of its work.
    assert queues == {"simulator": 0, "upkeep": 0}


async def test_nobody_looks_without_the_password(flower: Flower) -> None:
    async with httpx2.AsyncClient(base_url=flower.url) as stranger:
        for path in ("/", "/tasks", "/broker", "/api/workers", "/api/tasks"):
            assert (await stranger.get(path)).status_code == 401, path
        wrong = await stranger.get("/api/workers", auth=("promptmill", "another password"))
        assert wrong.status_code == 401
