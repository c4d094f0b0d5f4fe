"""The bus tells every event once to each subscriber, in order, whoever breaks or is killed."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from shared.db.outbox import Event, announce
from tests.life import TENANT, Life
from tests.mill import eventually
from tests.webhooks.conftest import Post
from worker.delivery.fanout import fan_out
from worker.pipeline.patience import end
from worker.upkeep.publisher import SUBSCRIBERS, EventBus, Subscriber, publish

HEARD = "CREATE TABLE heard (place bigint GENERATED ALWAYS AS IDENTITY, number bigint)"


async def note(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """A subscriber that writes down what it heard, in the order in which it did."""
    for event in events:
        await connection.execute(
            text("INSERT INTO heard (number) VALUES (:number)"), {"number": event.number}
        )


@pytest.fixture
async def noted(post: Post) -> Post:
    await post.run(HEARD)
    return post


async def happens(life: Life, subject: str, *versions: int) -> None:
    for version in versions:
        async with life.database.transaction() as connection:
            await announce(connection, TENANT, subject, "batch.completed", state_version=version)


async def published(post: Post, **subscribers: Subscriber) -> None:
    async with post.life.database.transaction() as connection:
        await publish(connection, subscribers)


async def heard(life: Life) -> list[Any]:
    return await life.all("SELECT number FROM heard ORDER BY place")


async def told_once_in_order(life: Life) -> None:
    """Every event was heard once, those of each batch by their versions."""
    events = await life.all("SELECT id, job_id, state_version FROM events ORDER BY id")
    assert sorted(row.number for row in await heard(life)) == [row.id for row in events]
    told = {row.id: (row.job_id, row.state_version) for row in events}
    order = [told[row.number] for row in await heard(life)]
    for batch in {subject for subject, _ in order if subject.startswith("batch")}:
        assert [version for subject, version in order if subject == batch] == [1, 2, 3, 4, 5]


async def test_two_publishers_and_a_kill_tell_each_event_once_and_in_order(noted: Post) -> None:
    life = noted.life

    async def killed(connection: AsyncConnection, _: Sequence[Event]) -> None:
        await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await noted.endpoint("http://127.0.0.1:1/hook")
    await noted.end_jobs(30)
    subscribers = {**SUBSCRIBERS, "note": note}
    with pytest.raises(DBAPIError):
        await published(noted, **subscribers, killed=killed)
    assert (await life.one("SELECT count(*) AS n FROM deliveries")).n == 0
    buses = [EventBus(life.database, lambda: None, subscribers) for _ in range(2)]
    running = [asyncio.create_task(bus.run()) for bus in buses]

    async def ends() -> None:
        await noted.end_jobs(5)
        for bus in buses:
            bus.ring()

    await asyncio.gather(
        ends(), ends(), *(happens(life, f"batch_{i}", *range(1, 6)) for i in range(4))
    )

    async def all_told() -> bool:
        return not await life.all("SELECT FROM events WHERE told_at IS NULL LIMIT 1")

    await eventually("all events are told", all_told)
    await end(running)
    await told_once_in_order(life)
    counts = await life.all("SELECT type, count AS n FROM event_counts ORDER BY type")
    assert {row.type: row.n for row in counts} == {
        "batch.completed": 20,
        "generation.completed": 40,
    }
    assert (await life.one("SELECT count(*) AS n FROM deliveries")).n == 40


async def test_who_breaks_keeps_nobody_else_from_theirs_and_gets_its_own_again(
    noted: Post,
) -> None:
    life, broken = noted.life, True

    async def fragile(connection: AsyncConnection, events: Sequence[Event]) -> None:
        await note(connection, events)
        if broken and any(event.subject == "batch_bad" for event in events):
            raise RuntimeError("this one is too much")

    both: dict[str, Subscriber] = {"fragile": fragile, "metrics": SUBSCRIBERS["metrics"]}
    await happens(life, "batch_bad", 1)
    await happens(life, "batch_good", 1)
    with capture_logs() as logs:
        await published(noted, **both)
    assert [line["what"] for line in logs if line["event"] == "subscriber_broke"] == ["fragile"]
    assert (await life.one("SELECT count AS n FROM event_counts")).n == 2
    assert await heard(life) == [], "what it wrote before it broke is undone"

    await happens(life, "batch_bad", 2)
    await published(noted, **both)
    [good] = await heard(life)
    assert (await life.one("SELECT count AS n FROM event_counts")).n == 3
    await noted.run("UPDATE events_missed SET next_at = now()")
    await published(noted, **both)
    assert await heard(life) == [good], "a later event of that batch waits for the earlier one"

    broken = False
    for _ in range(2):
        await noted.run("UPDATE events_missed SET next_at = now()")
        await published(noted, **both)
    order = "SELECT job_id, state_version FROM events JOIN heard ON number = id ORDER BY place"
    assert [(row.job_id, row.state_version) for row in await life.all(order)] == [
        ("batch_good", 1),
        ("batch_bad", 1),
        ("batch_bad", 2),
    ]
    assert await life.all("SELECT * FROM events_missed") == []


async def test_after_a_day_an_event_that_breaks_its_subscriber_is_given_up(post: Post) -> None:
    async def breaks(_: AsyncConnection, __: Sequence[Event]) -> None:
        raise RuntimeError("never")

    await happens(post.life, "batch_bad", 1)
    await published(post, breaks=breaks)
    since = "UPDATE events_missed SET next_at = now(), since = now() - interval '25 hours'"
    await post.run(since)
    with capture_logs() as logs:
        await published(post, breaks=breaks)
    assert "event_given_up" in {line["event"] for line in logs}
    assert await post.life.all("SELECT * FROM events_missed") == []


async def test_the_log_tells_of_every_event_by_ids_alone(post: Post) -> None:
    [job_id] = await post.end_jobs()
    with capture_logs() as logs:
        await post.publish()
    [line] = [line for line in logs if line["event"] == "event_told"]
    assert (line["log_level"], line["what"], line["subject"]) == (
        "debug", "generation.completed", job_id,
    )  # fmt: skip
    assert SUBSCRIBERS["webhooks"] is fan_out
