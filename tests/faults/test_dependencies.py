"""Redis and Postgres may die, freeze or forget: nothing is lost but a few seconds."""

import asyncio
import os
import signal
from pathlib import Path

import redis

from cli.stack.servers import Servers
from tests.mill import Mill, eventually, seeded


async def test_kill_9_of_valkey_midway(mill: Mill, servers: Servers) -> None:
    dice = seeded()
    await mill.start_worker()
    accepted = await mill.submit(1500)
    await mill.in_state("succeeded", dice.randrange(50, 400))
    servers.restart_valkey()
    assert (await mill.all_final())["succeeded"] == 1500
    await mill.check(accepted)


async def test_flushall_with_10_000_queued(mill: Mill, redis_url: str) -> None:
    dice = seeded()
    await mill.start_worker(slots=300)
    accepted = await mill.submit(10_000)
    for _ in range(3):
        before = (await mill.states())["succeeded"]
        await mill.in_state("succeeded", before + dice.randrange(50, 400))
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
    assert (await mill.all_final(within=120))["succeeded"] == 10_000
    await mill.check(accepted)


async def test_a_frozen_valkey_loses_nothing_and_work_resumes(mill: Mill, servers: Servers) -> None:
    dice = seeded()
    await mill.start_worker()
    accepted = await mill.submit(1000)
    await mill.in_state("succeeded", dice.randrange(50, 300))
    servers.pause_valkey()
    try:
        accepted += await mill.submit(200)
        await asyncio.sleep(5)  # the outage itself: its length is the fault, not a wait
    finally:
        servers.resume_valkey()
    assert (await mill.all_final())["succeeded"] == 1200
    await mill.check(accepted)


async def test_postgres_dies_and_comes_back_midway(mill: Mill, servers: Servers) -> None:
    dice = seeded()
    await mill.start_worker()
    accepted = await mill.submit(1500)
    await mill.in_state("succeeded", dice.randrange(50, 400))
    servers.kill_postgres()
    servers.start_postgres()
    assert (await mill.all_final())["succeeded"] == 1500
    await mill.check(accepted)
    row = await mill.life.one("SELECT count(*) AS n FROM attempts WHERE state = 'unknown'")
    assert row.n == 0, "an outage of Postgres broke no call off"


async def test_the_dispatchers_holder_is_killed(mill: Mill) -> None:
    seeded()
    workers = [await mill.start_worker(slots=20) for _ in range(2)]
    accepted = await mill.submit(800)
    await mill.in_state("succeeded", 50)
    holder = await mill.holder()
    next(worker for worker in workers if worker.pid == holder).kill()
    assert (await mill.all_final())["succeeded"] == 800
    await mill.check(accepted)


async def test_the_dispatchers_holder_freezes_inside_a_release(mill: Mill) -> None:
    dice = seeded()
    plan = f"in_release:{dice.randrange(2, 6)}:stop"
    frozen = await mill.start_worker(slots=20, PROMPTMILL_WORKER__FAILPOINT=plan)
    accepted = await mill.submit(400)

    async def stopped() -> bool:
        stat = Path(f"/proc/{frozen.pid}/stat").read_text()
        return stat.rsplit(") ", 1)[1][0] == "T"

    await eventually("the holder freezes inside its transaction", stopped)
    await mill.start_worker(slots=20)
    await mill.in_state("succeeded", 100, within=20)
    os.kill(frozen.pid, signal.SIGCONT)
    assert (await mill.all_final())["succeeded"] == 400
    await mill.check(accepted)
