"""A webhook arrives signed, under one id however often, whatever its receiver and others do."""

import asyncio
import json
from typing import Any

import openai
import pytest
from aiohttp.test_utils import unused_port
from openai.types.webhooks import BatchCompletedWebhookEvent, ResponseCompletedWebhookEvent
from pydantic import SecretStr
from standardwebhooks import WebhookVerificationError

from shared.db.deliveries import drop_orphans
from shared.db.outbox import announce
from shared.domain.event import EventType
from shared.domain.face import Face
from shared.security.webhooks import endpoint_secret
from tests.environment import PEPPER
from tests.life import COST, TENANT
from tests.webhooks.conftest import Post, Receiver, receiver, says, verified
from worker.delivery.verdict import JITTER, WAITS

HOUR = 3600.0
BACKGROUND: dict[str, Any] = {"face": Face.RESPONSE, "echo": json.dumps({"background": True})}


async def test_a_jobs_end_arrives_and_an_independent_verifier_believes_it(
    post: Post, hook: Receiver
) -> None:
    endpoint_id = await post.endpoint(hook.url)
    [job_id] = await post.tell()
    async with post.delivering():
        [tried] = await post.tried(1)
    [(headers, body)] = hook.got
    told = verified(endpoint_id, 1, headers, body)
    assert told["id"] == headers["webhook-id"]
    assert (told["object"], told["type"]) == ("event", "job.succeeded")
    assert told["data"] == {
        "id": job_id,
        "state": "succeeded",
        "state_version": 3,
        "cost": {"nano_usd": COST, "usd": f"{COST / 1e9:.9f}", "unknown": False},
        "status_url": f"/api/v1/jobs/{job_id}",
    }
    assert (tried.number, tried.status, tried.error) == (1, 204, None)
    assert await post.states() == ["delivered"]
    with pytest.raises(WebhookVerificationError):
        verified(endpoint_id, 2, headers, body)


async def test_a_receiver_that_is_down_for_three_days_is_told_in_the_end(post: Post) -> None:
    port, waited = unused_port(), 0.0
    endpoint_id = await post.endpoint(f"http://127.0.0.1:{port}/hook")
    await post.tell()
    [message_id] = [row.message_id for row in await post.life.all("SELECT * FROM deliveries")]
    async with post.delivering() as deliverer:
        for number, wait in enumerate(WAITS, start=1):
            await post.tried(number)
            row = await post.life.one(
                "SELECT extract(epoch FROM next_at - at)::float8 AS wait"
                " FROM deliveries JOIN delivery_tries ON delivery_id = id AND number = tries"
            )
            assert wait * (1 - JITTER) - 1 < row.wait < wait * (1 + JITTER) + 1
            waited += row.wait
            if number < len(WAITS):
                await post.hurry(deliverer)
        assert waited > 65 * HOUR
        async with receiver(port) as hook:
            await post.hurry(deliverer)
            tries = await post.tried(len(WAITS) + 1)
    assert {each.error for each in tries[:-1]} == {"no connection could be opened"}
    assert await post.states() == ["delivered"]
    [(headers, body)] = hook.got
    assert verified(endpoint_id, 1, headers, body)["id"] == headers["webhook-id"] == message_id
    assert (await post.life.one("SELECT failing_since FROM webhook_endpoints"))[0] is None


async def test_after_the_last_try_it_is_given_up(post: Post, hook: Receiver) -> None:
    hook.answer = says(500)
    await post.endpoint(hook.url)
    await post.tell()
    await post.run("UPDATE deliveries SET tries = :done", done=len(WAITS))
    async with post.delivering():
        [tried] = await post.tried(1)
    assert (tried.status, tried.error) == (500, "it answered with status 500")
    assert await post.states() == ["given_up"]


async def test_ten_minutes_of_retries_later_the_sdk_still_unwraps_it(
    post: Post, hook: Receiver
) -> None:
    types = EventType.RESPONSE_COMPLETED, EventType.BATCH_COMPLETED
    endpoint_id = await post.endpoint(hook.url, *types)
    hook.answer = says(500)
    [job_id] = await post.end_jobs(**BACKGROUND)
    async with post.life.database.transaction() as connection:
        await announce(connection, TENANT, "batch_1", "batch.completed")
    # What was signed then would be too old now.
    await post.run("UPDATE events SET at = now() - interval '10 minutes'")
    await post.publish()
    async with post.delivering() as deliverer:
        for tries in (2, 4, 6):
            await post.tried(tries)
            hook.answer = says(204) if tries == 4 else says(500)
            await post.hurry(deliverer)
    secret = endpoint_secret(SecretStr(PEPPER), endpoint_id, 1).get_secret_value()
    client = openai.OpenAI(api_key="none", webhook_secret=secret)
    events: list[Any] = [client.webhooks.unwrap(body, headers) for headers, body in hook.got[-2:]]
    assert {(type(each), each.type, each.data.id) for each in events} == {
        (ResponseCompletedWebhookEvent, "response.completed", job_id.replace("job_", "resp_")),
        (BatchCompletedWebhookEvent, "batch.completed", "batch_1"),
    }
    for event, (headers, _) in zip(events, hook.got[-2:], strict=True):
        assert event.id == headers["webhook-id"]
        assert int(headers["webhook-timestamp"]) - event.created_at >= 600
    assert len(set(hook.ids())) == 2


async def test_after_a_rotation_both_secrets_verify_and_then_the_new_one_alone(
    post: Post, hook: Receiver
) -> None:
    endpoint_id = await post.endpoint(hook.url)
    hook.answer = says(500)
    await post.tell()
    async with post.delivering() as deliverer:
        await post.tried(1)
        await post.run(
            "UPDATE webhook_endpoints SET secret_number = 2,"
            " old_secret_until = now() + interval '1 day'"
        )
        await post.hurry(deliverer)
        await post.tried(2)
        await post.run("UPDATE webhook_endpoints SET old_secret_until = now()")
        await post.hurry(deliverer)
        await post.tried(3)
    first, second, third = hook.got
    assert verified(endpoint_id, 1, *first)
    assert verified(endpoint_id, 1, *second) == verified(endpoint_id, 2, *second)
    assert verified(endpoint_id, 2, *third)
    with pytest.raises(WebhookVerificationError):
        verified(endpoint_id, 1, *third)
    assert len(set(hook.ids())) == 1


async def test_410_disables_the_endpoint_and_others_of_the_tenant_may_hear_of_it(
    post: Post, hook: Receiver
) -> None:
    async with receiver() as other:
        gone = await post.endpoint(hook.url)
        watching = await post.endpoint(other.url, EventType.ENDPOINT_DISABLED)
        hook.answer = says(410)
        await post.tell(3)
        async with post.delivering() as deliverer:
            await post.tried(1)
            await post.publish()
            await post.hurry(deliverer)
            await post.tell()
            await post.tried(len(hook.got) + 1)
        [(headers, body)] = other.got
    told = verified(watching, 1, headers, body)
    assert (told["type"], told["data"]) == ("webhook_endpoint.disabled", {"id": gone})
    assert await post.why_disabled(gone) == "it answered 410 Gone"
    assert sorted(await post.states()) == ["delivered", "dropped", "dropped", "dropped"]


async def test_five_days_of_failures_disable_it_and_one_success_forgives_them(
    post: Post, hook: Receiver
) -> None:
    endpoint_id = await post.endpoint(hook.url)
    failing = "UPDATE webhook_endpoints SET failing_since = now() - interval '5 days 1 second'"
    await post.run(failing)
    async with post.delivering() as deliverer:
        await post.tell()
        await post.tried(1)
        hook.answer = says(500)
        await post.tell()
        await post.hurry(deliverer)
        await post.tried(2)
        assert (await post.life.one("SELECT disabled_at FROM webhook_endpoints"))[0] is None
        await post.run(failing)
        await post.hurry(deliverer)
        await post.tried(3)
    assert await post.why_disabled(endpoint_id) == "every try failed for 5 days"
    assert await post.states() == ["delivered", "dropped"]
    await post.tell()
    assert len(await post.states()) == 2


@pytest.mark.parametrize(
    ("status", "headers", "least", "most"),
    [
        (429, {"Retry_After": "90"}, 89, 91),
        (503, {"Retry_After": "7200"}, 7199, 7201),
        (504, {}, 4, 6),
        (500, {}, -1, 0),
    ],
)
async def test_who_is_busy_is_left_alone_for_as_long_as_it_says(
    post: Post, hook: Receiver, status: int, headers: dict[str, str], least: int, most: int
) -> None:
    hook.answer = says(status, **headers)
    await post.endpoint(hook.url)
    await post.tell()
    async with post.delivering() as deliverer:
        await post.tried(1)
        hook.answer = says(204)
        await post.tell()
        deliverer.ring()
        row = await post.life.one(
            "SELECT greatest(extract(epoch FROM paused_until - now()), -1)::int AS paused,"
            " extract(epoch FROM max(next_at) - now())::int AS wait"
            " FROM webhook_endpoints JOIN deliveries ON endpoint_id = webhook_endpoints.id"
            " WHERE tries = 1 GROUP BY paused_until"
        )
        assert least <= row.paused <= most
        assert row.wait >= row.paused - 1
        if row.paused > 0:
            await asyncio.sleep(0.3)
            assert len(hook.got) == 1, "what came later waits, too"
        await post.run("UPDATE webhook_endpoints SET paused_until = now()")
        deliverer.ring()
        await post.tried(2)
    assert len(hook.got) == 2


async def test_what_waits_for_a_deleted_endpoint_is_dropped_at_some_time(post: Post) -> None:
    endpoint_id = await post.endpoint("http://127.0.0.1:1/hook")
    await post.endpoint("http://127.0.0.1:1/other")
    await post.tell()
    await post.run("UPDATE webhook_endpoints SET deleted_at = now() WHERE id = :id", id=endpoint_id)
    async with post.life.database.transaction() as connection:
        assert await drop_orphans(connection) == 1
    assert sorted(await post.states()) == ["dropped", "pending"]
