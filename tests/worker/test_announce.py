"""What is announced of jobs: kept while the broker is away, in order and within a bound."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from shared.broker.events import Event, EventSender
from shared.broker.line import PublishError
from shared.db.leave import Left
from shared.domain.clock import SystemClock
from shared.domain.job import JobState
from tests.worker.conftest import Broker
from worker.pipeline.announce import MOST_KEPT, Announcer
from worker.pipeline.patience import end

HOSTNAME = "worker0@test"


def left(number: int, moved_to: JobState | None = JobState.QUEUED) -> Left:
    """An attempt that was taken back from a dead worker."""
    return Left(f"att_{number}", f"job_{number}", "openai/gpt-4.1-mini", "openai", "r", moved_to)


class Ear:
    """Everything that is said on the broker's channel of events."""

    def __init__(self, broker: Broker) -> None:
        client: Any = broker.client
        self._subscription = client.pubsub(ignore_subscribe_messages=True)
        self._subscription.psubscribe("*celeryev*")

    async def hears(self, number: int, group: str = "task-") -> list[tuple[str, str | None]]:
        """The kind and job of the next events of a group, as soon as there are so many."""
        heard: list[tuple[str, str | None]] = []
        async with asyncio.timeout(20):
            while len(heard) < number:
                message = await asyncio.to_thread(self._subscription.get_message, timeout=0.2)
                heard += [
                    (event["type"], event.get("uuid"))
                    for event in (_events(message) if message else [])
                    if event["type"].startswith(group)
                ]
        return heard


class Sender(EventSender):
    """The real one; a test may wait for it to fail."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker.url, HOSTNAME)
        self.failed = asyncio.Event()

    async def send(self, events: Sequence[Event]) -> None:
        try:
            await super().send(events)
        except PublishError:
            self.failed.set()
            raise


def _events(message: dict[str, Any]) -> list[dict[str, Any]]:
    envelope = json.loads(message["data"])
    events: list[dict[str, Any]] = json.loads(base64.b64decode(envelope["body"]))
    return events


def announcer_over(sender: Sender, *, of_jobs: bool = True) -> Announcer:
    return Announcer(sender, SystemClock(), HOSTNAME, lambda: 0, of_jobs=of_jobs)


@asynccontextmanager
async def sending(announcer: Announcer) -> AsyncIterator[None]:
    """It sends what it keeps, as long as the block lasts."""
    service = asyncio.create_task(announcer.run())
    yield
    await end([service])
    await announcer.close()


async def test_what_is_told_while_the_broker_is_frozen_is_heard_later_in_order(
    broker: Broker,
) -> None:
    ear, sender = Ear(broker), Sender(broker)
    announcer = announcer_over(sender)
    async with sending(announcer):
        announcer.rescued([left(0)])
        assert await ear.hears(1) == [("task-retried", "job_0")]
        broker.freeze()
        announcer.rescued([left(1)])
        await sender.failed.wait()
        announcer.rescued([left(2, JobState.FAILED), left(3, None), left(4, JobState.EXPIRED)])
        broker.thaw()
        heard = await ear.hears(3)
    # A send that got no answer may have arrived all the same.
    assert list(dict.fromkeys(heard)) == [
        ("task-retried", "job_1"),
        ("task-failed", "job_2"),
        ("task-revoked", "job_4"),
    ]


async def test_what_waits_for_the_broker_is_bounded_and_the_oldest_go_first(
    broker: Broker,
) -> None:
    ear, announcer = Ear(broker), announcer_over(Sender(broker))
    announcer.rescued(left(number) for number in range(MOST_KEPT + 10))
    await announcer.close()
    heard = await ear.hears(MOST_KEPT - 1)
    assert heard[0] == ("task-retried", "job_11"), "the goodbye took a place, too"
    assert heard[-1] == ("task-retried", f"job_{MOST_KEPT + 9}")


async def test_a_waiting_job_is_told_of_once_and_so_is_its_end_however_often_bells_ring(
    broker: Broker,
) -> None:
    ear, announcer = Ear(broker), announcer_over(Sender(broker))
    front = [SimpleNamespace(id=f"job_{number}") for number in range(2)]
    announcer.waiting("gpt-4.1-mini", "openai", front)
    announcer.waiting("gpt-4.1-mini", "openai", front[:1])
    announcer.cancelled(["job_0", "job_7"])
    announcer.cancelled(["job_0"])
    announcer.waiting("gpt-4.1-mini", "openai", [])
    announcer.rescued([left(9)])
    await announcer.close()
    heard = await ear.hears(4)
    assert sorted(heard[:2]) == [("task-sent", "job_0"), ("task-sent", "job_1")]
    assert heard[2:] == [("task-revoked", "job_0"), ("task-retried", "job_9")]


async def test_a_worker_that_shall_tell_nothing_of_jobs_still_says_that_it_lives(
    broker: Broker,
) -> None:
    ear, announcer = Ear(broker), announcer_over(Sender(broker), of_jobs=False)
    announcer.rescued([left(0)])
    await announcer.close()
    assert await ear.hears(1, group="") == [("worker-offline", None)]
