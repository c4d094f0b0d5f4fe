"""Who hangs takes its own room and nobody else's, and a worker that stops keeps nothing."""

import asyncio

from aiohttp import web

from tests.webhooks.conftest import Post, Receiver, receiver, says


async def test_healthy_endpoints_do_not_wait_for_one_that_hangs(post: Post, hook: Receiver) -> None:
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response(status=204)

    hook.answer = hang
    await post.endpoint(hook.url)
    async with receiver() as healthy, post.delivering(at_once_endpoint=8) as deliverer:
        await post.endpoint(healthy.url)
        await post.endpoint(healthy.url, tenant_id="ten_b")
        for tenant_id in ("ten_a", "ten_b") * 5:
            await post.tell(10, tenant_id=tenant_id)
            deliverer.ring()
        await post.tried(100)
        assert len(hook.got) == 8, "no more than its room"
        over.set()
    late = await post.life.one(
        "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY at - deliveries.created_at) AS p99"
        " FROM deliveries JOIN delivery_tries ON delivery_id = id"
        " JOIN webhook_endpoints ON endpoint_id = webhook_endpoints.id WHERE url = :url",
        url=healthy.url,
    )
    assert len(healthy.got) == 100
    assert late.p99.total_seconds() < 2


async def test_a_tenant_whose_endpoints_all_hang_leaves_room_for_others(
    post: Post, hook: Receiver
) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    hook.answer = hang
    for _ in range(3):
        await post.endpoint(hook.url)
    async with receiver() as healthy:
        await post.endpoint(healthy.url, tenant_id="ten_b")
        await post.tell(5)
        room = {"at_once": 8, "at_once_tenant": 5, "at_once_endpoint": 2}
        async with post.delivering(**room) as deliverer:
            await post.tell(10, tenant_id="ten_b")
            deliverer.ring()
            await post.tried(10)
    assert len(healthy.got) == 10
    assert len(hook.got) == 5
    assert len(await post.tries()) == 10


async def test_a_worker_that_stops_gives_back_what_it_cannot_finish(
    post: Post, hook: Receiver
) -> None:
    called = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        called.set()
        await asyncio.sleep(60)
        return web.Response()

    hook.answer = hang
    await post.endpoint(hook.url)
    await post.tell()
    async with post.delivering():
        await called.wait()
    row = await post.life.one("SELECT tries, state, next_at <= now() AS due FROM deliveries")
    assert (row.tries, row.state, row.due) == (0, "pending", True)
    hook.answer = says(204)
    async with post.delivering():
        await post.tried(1)
    assert len(hook.got) == 2
    assert len(set(hook.ids())) == 1
