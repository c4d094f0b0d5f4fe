"""Each endpoint hears what it asked for, in the words of the API that its caller knows."""

import json
from typing import Any

import orjson
import pytest

from shared.db.endpoints import ensure_of_jobs
from shared.db.outbox import announce
from shared.domain.event import EventType
from shared.domain.face import Face
from shared.domain.job import JobState
from tests.life import TENANT, answered, new_job
from tests.webhooks.conftest import Post

URL = "https://hooks.example.org/here"
BACKGROUND = json.dumps({"background": True})


async def told(post: Post, endpoint_id: str) -> list[tuple[str, str]]:
    """Type and subject of what is on its way to it."""
    asked = "SELECT * FROM deliveries WHERE endpoint_id = :id ORDER BY type, id"
    return [(row.type, row.subject) for row in await post.life.all(asked, id=endpoint_id)]


@pytest.mark.parametrize(
    ("state", "finish_reason", "native", "response"),
    [
        (JobState.SUCCEEDED, "stop", "job.succeeded", "response.completed"),
        (JobState.SUCCEEDED, "length", "job.succeeded", "response.incomplete"),
        (JobState.SUCCEEDED, "content_filter", "job.succeeded", "response.incomplete"),
        (JobState.FAILED, None, "job.failed", "response.failed"),
        (JobState.CANCELLED, None, "job.cancelled", "response.cancelled"),
        (JobState.EXPIRED, None, "job.expired", "response.failed"),
    ],
)
async def test_a_background_response_ends_under_both_names_for_who_asks_for_both(
    post: Post, state: JobState, finish_reason: str | None, native: str, response: str
) -> None:
    both = await post.endpoint(URL, *EventType)
    [attempt] = await post.life.started(new_job(face=Face.RESPONSE, echo=BACKGROUND))
    result = json.dumps({"finish_reason": finish_reason}) if finish_reason else None
    await post.life.leave(answered(attempt, job_state=state, result=result))
    await post.publish()
    as_response = attempt.job_id.replace("job_", "resp_")
    assert await told(post, both) == [(native, attempt.job_id), (response, as_response)]
    ids = await post.life.all("SELECT DISTINCT message_id FROM deliveries")
    assert len(ids) == 2, "a receiver takes the second for no repeat of the first"


@pytest.mark.parametrize(
    "changes",
    [{}, {"face": Face.CHAT}, {"face": Face.RESPONSE, "echo": "{}"}, {"face": Face.RESPONSE}],
)
async def test_what_nobody_knows_as_a_background_response_is_told_as_a_job_alone(
    post: Post, changes: dict[str, Any]
) -> None:
    everything = await post.endpoint(URL, *EventType)
    responses = await post.endpoint(URL, EventType.RESPONSE_COMPLETED)
    [job_id] = await post.tell(**changes)
    assert await told(post, everything) == [("job.succeeded", job_id)]
    assert await told(post, responses) == []


async def test_all_endpoints_get_the_same_message_and_other_tenants_none(post: Post) -> None:
    mine = [await post.endpoint(URL), await post.endpoint(URL)]
    theirs = await post.endpoint(URL, tenant_id="ten_b")
    failures = await post.endpoint(URL, EventType.JOB_FAILED)
    disabled, deleted = await post.endpoint(URL), await post.endpoint(URL)
    away = "UPDATE webhook_endpoints SET {} = now() WHERE id = :id"
    await post.run(away.format("disabled_at"), id=disabled)
    await post.run(away.format("deleted_at"), id=deleted)
    await post.tell()
    rows = await post.life.all("SELECT endpoint_id, message_id, body FROM deliveries")
    assert {row.endpoint_id for row in rows} == set(mine)
    assert len({(row.message_id, row.body) for row in rows}) == 1
    assert rows[0].message_id.startswith("evt_")
    assert await told(post, theirs) == await told(post, failures) == []


async def test_a_jobs_own_endpoint_hears_of_that_job_alone(post: Post) -> None:
    async with post.life.database.transaction() as connection:
        own = await ensure_of_jobs(connection, TENANT, URL, None)
        foreign = await ensure_of_jobs(connection, "ten_b", URL, None)
    assert own is not None
    assert foreign is not None
    [job_id] = await post.tell(webhook=own.id)
    await post.tell()
    await post.tell(webhook=foreign.id)
    assert await told(post, own.id) == [("job.succeeded", job_id)]
    assert await told(post, foreign.id) == []


async def test_a_batchs_end_is_told_thin(post: Post) -> None:
    endpoint_id = await post.endpoint(URL, EventType.BATCH_COMPLETED)
    async with post.life.database.transaction() as connection:
        await announce(connection, TENANT, "batch_1", "batch.completed")
        await announce(connection, TENANT, "batch_2", "batch.failed")
        await announce(connection, TENANT, "what_1", "what.happened")
    await post.publish()
    assert await told(post, endpoint_id) == [("batch.completed", "batch_1")]
    body = orjson.loads((await post.life.one("SELECT body FROM deliveries")).body)
    assert isinstance(body.pop("created_at"), int)
    assert body.pop("id").startswith("evt_")
    assert body == {"object": "event", "type": "batch.completed", "data": {"id": "batch_1"}}
