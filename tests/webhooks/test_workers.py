"""Real workers tell of a job's end, and one that is killed over it leaves it to the next."""

import asyncio

from aiohttp import web

from shared.domain.event import EventType
from tests.mill import eventually, running_mill
from tests.webhooks.conftest import Post, Receiver, says, verified

OPEN = {"PROMPTMILL_EGRESS__ALLOW_LOOPBACK": "true", "PROMPTMILL_LOG_LEVEL": "DEBUG"}


async def test_a_worker_killed_midway_delivers_at_least_once_under_one_id(
    database_url: str, redis_url: str, hook: Receiver
) -> None:
    called = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        called.set()
        await asyncio.sleep(60)
        return web.Response()

    hook.answer = hang
    async with running_mill(database_url, redis_url, **OPEN) as mill:
        post = Post(mill.life)
        endpoint_id = await post.endpoint(hook.url, EventType.JOB_SUCCEEDED)
        await mill.start_simulator()
        worker = await mill.start_worker()
        [job_id] = await mill.submit(1)
        await asyncio.wait_for(called.wait(), 60)
        worker.kill()
        worker.wait()
        assert await post.states() == ["pending"]
        hook.answer = says(204)
        # Its lease is a minute; the database alone believes that it has passed.
        await post.run("UPDATE deliveries SET next_at = now()")
        await mill.start_worker()

        async def delivered() -> bool:
            return await post.states() == ["delivered"]

        await eventually("the next worker delivers it", delivered)
        assert "event_told" in (mill.folder / "worker0.log").read_text()
    assert len(hook.got) >= 2
    assert len(set(hook.ids())) == 1
    for headers, body in hook.got:
        assert verified(endpoint_id, 1, headers, body)["data"]["id"] == job_id
