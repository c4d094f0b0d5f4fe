"""What the pool promises: one loop, late acknowledgement, a bounded stop."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from shared.broker.app import make_app
from shared.broker.publish import Publisher
from shared.domain.ids import IdKind, new_id
from tests.worker.conftest import REPOSITORY, Broker, StartWorker, Worker, eventually
from worker.consumer import WINDOW


def attempt_ids(count: int) -> list[str]:
    return [new_id(IdKind.ATTEMPT) for _ in range(count)]


async def send(broker: Broker, *groups: list[str], queue: str = "openai") -> None:
    publisher = Publisher(broker.url)
    await publisher.publish(queue, groups)
    await publisher.close()


def remote(broker: Broker) -> Celery:
    return make_app(broker.url, ["openai", "simulator"])


def ask(broker: Broker, worker: Worker, command: str) -> Any:
    inspect = remote(broker).control.inspect([f"{worker.name}@test"], timeout=3, limit=1)
    return getattr(inspect, command)()[f"{worker.name}@test"]


def beat(broker: Broker) -> bool:
    """Send a sign of life of somebody else's; nobody is there to say that it came."""
    with remote(broker).events.default_dispatcher(hostname="other@test") as dispatcher:
        dispatcher.send("worker-heartbeat")
    return False


@contextmanager
def listening(broker: Broker) -> Iterator[list[dict[str, Any]]]:
    """Collect the events of all workers, as a monitor does."""
    seen: list[dict[str, Any]] = []
    with remote(broker).connection_for_read() as connection:
        receiver = remote(broker).events.Receiver(connection, handlers={"*": seen.append})
        thread = threading.Thread(
            target=receiver.capture, kwargs={"limit": None, "timeout": None, "wakeup": False}
        )
        thread.start()
        eventually(lambda: beat(broker) or seen, "the first event")
        yield seen
        receiver.should_stop = True
        thread.join()


def kinds_of(seen: list[dict[str, Any]], uuid: str) -> list[str]:
    return [line["type"] for line in seen if line.get("uuid") == uuid]


async def test_bodies_run_together_on_one_loop(broker: Broker, start_worker: StartWorker) -> None:
    worker = start_worker()
    worker.hold.touch()
    groups = [attempt_ids(3) for _ in range(5)]
    await send(broker, *groups)
    eventually(lambda: len(worker.notes("take")) == 5, "five bodies run at once")
    assert not worker.notes("taken")
    assert len({line["loop"] for line in worker.notes("take")}) == 1
    worker.hold.unlink()
    eventually(lambda: len(worker.notes("taken")) == 5, "all return")
    assert sorted(worker.ids("take")) == sorted(attempt for group in groups for attempt in group)


async def test_a_message_is_acknowledged_only_after_its_start(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker()
    worker.hold.touch()
    await send(broker, attempt_ids(1), attempt_ids(20))
    eventually(lambda: len(worker.notes("take")) == 2, "both are being started")
    assert broker.unacknowledged() == 2
    worker.hold.unlink()
    eventually(lambda: broker.unacknowledged() == 0, "both are acknowledged")
    assert broker.waiting() == 0


async def test_a_killed_worker_has_acknowledged_nothing_and_another_takes_over(
    broker: Broker, start_worker: StartWorker
) -> None:
    first = start_worker("w1")
    first.hold.touch()
    group = attempt_ids(4)
    await send(broker, group)
    eventually(lambda: first.notes("take"), "the first takes it")
    first.signal(signal.SIGKILL)
    first.end()
    assert broker.unacknowledged() == 1
    # Age it past the visibility timeout rather than wait for that.
    broker.client.zunionstore("unacked_index", {"unacked_index": 0})
    first.hold.unlink()
    second = start_worker("w2")
    eventually(lambda: second.ids("taken") == group, "the second takes it over")
    eventually(lambda: broker.unacknowledged() == 0, "and acknowledges it")


async def test_a_repeated_message_does_no_harm(broker: Broker, start_worker: StartWorker) -> None:
    worker = start_worker()
    group = attempt_ids(2)
    await send(broker, group, group)
    eventually(lambda: len(worker.ids("taken")) == 4, "both are handed to the engine")
    eventually(lambda: broker.unacknowledged() == 0, "both are acknowledged")
    assert worker.ids("taken") == [*group, *group]


async def test_a_busy_worker_leaves_the_rest_to_others(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker()
    worker.hold.touch()
    await send(broker, *[attempt_ids(1) for _ in range(WINDOW + 20)])
    eventually(lambda: len(worker.notes("take")) == WINDOW, "the window is full")
    other = start_worker("w2")
    eventually(lambda: len(other.notes("take")) == WINDOW, "the other gets its share")
    assert len(worker.notes("take")) == WINDOW
    assert broker.waiting() == 20 - WINDOW
    worker.hold.unlink()
    eventually(lambda: broker.unacknowledged() + broker.waiting() == 0, "all are done")


@pytest.mark.parametrize(
    ("failure", "told"), [("away", "the store is away"), ("cancelled", "by itself")]
)
async def test_a_failed_start_is_logged_and_never_redelivered(
    broker: Broker, start_worker: StartWorker, failure: str, told: str
) -> None:
    worker = start_worker(FAKE_TAKE_FAILS=failure)
    await send(broker, attempt_ids(1), attempt_ids(1))
    eventually(lambda: worker.says().count("raised unexpected") == 2, "the log tells")
    assert told in worker.says()
    eventually(lambda: broker.unacknowledged() == 0, "the messages are acknowledged")
    assert len(worker.notes("take")) == 2
    assert broker.waiting() == 0


async def test_plain_functions_run_in_threads_and_send_the_usual_events(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker(options="-E")
    kinds = ["task-received", "task-started", "task-succeeded"]
    with listening(broker) as seen:
        sent = remote(broker).send_task("fake.plain", [41], queue="upkeep")
        await send(broker, attempt_ids(1))
        eventually(lambda: kinds_of(seen, sent.id) == kinds, "three events of the plain task")
        eventually(lambda: worker.notes("taken"), "the carrier is done too")
    assert worker.notes("plain")[0]["thread"].startswith("sync-task")
    assert {line["uuid"] for line in seen if line["type"] in kinds} == {sent.id}


async def test_flower_can_look_and_resize_and_revoke(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker()
    worker.hold.touch()
    group = attempt_ids(1)
    await send(broker, group)
    eventually(lambda: worker.notes("take"), "it runs")
    assert ask(broker, worker, "stats")["pool"] == {
        "implementation": "worker.pool:AsyncioPool",
        "max-concurrency": 50,
        "processes": [worker.process.pid],
        "threads": 4,
        "messages": 1,
    }
    control = remote(broker).control
    assert control.pool_grow(10, reply=True)[0]["w1@test"] == {"ok": "pool will grow"}
    assert control.pool_shrink(20, reply=True)[0]["w1@test"] == {"ok": "pool will shrink"}
    assert [line["capacity"] for line in worker.notes("resize")] == [60, 40]
    assert ask(broker, worker, "stats")["prefetch_count"] == WINDOW
    assert ask(broker, worker, "active") == [], "a carrier is no task"
    job_id = new_id(IdKind.JOB)
    control.revoke(job_id, terminate=True)
    eventually(lambda: worker.ids("cancel") == [job_id], "the engine is told")
    control.revoke(broker.carrier(), terminate=True)
    eventually(lambda: worker.ids("cancelled") == group, "the body is cancelled")
    eventually(lambda: broker.unacknowledged() == 0, "a revoked message is acknowledged")


async def test_a_graceful_stop_drains_and_acknowledges(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker(FAKE_DRAIN_TAKES="1", FAKE_DRAIN="7")
    worker.hold.touch()
    await send(broker, attempt_ids(3))
    eventually(lambda: worker.notes("take"), "it runs")
    worker.signal(signal.SIGTERM)
    eventually(lambda: worker.notes("drain"), "the drain begins")
    eventually(lambda: broker.unacknowledged() == 0, "acknowledged while draining", within=0.9)
    assert worker.end() == 0
    assert worker.notes("drain")[0]["seconds"] == 7
    assert [worker.notes(event) != [] for event in ("drained", "stop")] == [True, True]


async def test_a_start_that_never_ends_goes_back_to_its_queue(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker(FAKE_STUBBORN="1")
    worker.hold.touch()
    group = attempt_ids(3)
    await send(broker, group)
    eventually(lambda: worker.notes("take"), "it runs")
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
    assert worker.ids("cancelled") == group
    assert (broker.unacknowledged(), broker.waiting()) == (0, 1)


async def test_a_message_that_comes_during_the_drain_goes_back_at_once(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker(FAKE_DRAIN_TAKES="3")
    worker.signal(signal.SIGTERM)
    eventually(lambda: worker.notes("drain"), "the drain begins")
    await send(broker, attempt_ids(1))
    await asyncio.sleep(1.5)  # the blocking pop that was open at the signal has ended by now
    assert worker.process.poll() is None
    assert (broker.unacknowledged(), broker.waiting()) == (0, 1)
    assert worker.end() == 0
    assert worker.notes("take") == []


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGQUIT])
def test_the_second_signal_ends_at_once(start_worker: StartWorker, second: int) -> None:
    worker = start_worker(FAKE_DRAIN="60", FAKE_DRAIN_TAKES="60")
    worker.signal(signal.SIGTERM)
    eventually(lambda: worker.notes("drain"), "the drain begins")
    worker.signal(second)
    assert worker.end(within=3) == 1
    assert "told twice to end" in worker.says()


def test_a_first_quit_gives_everything_back_without_a_drain(start_worker: StartWorker) -> None:
    worker = start_worker(FAKE_DRAIN="60", FAKE_DRAIN_TAKES="60")
    worker.signal(signal.SIGQUIT)
    assert worker.end() == 1
    assert [line["seconds"] for line in worker.notes("drain")] == [0.0]
    assert worker.notes("stop")


def test_a_failing_start_says_why_in_one_line(start_worker: StartWorker) -> None:
    worker = start_worker(ready=False, FAKE_START_FAILS="OPENAI_API_KEY is not set")
    assert worker.end() == 1
    assert "the worker cannot start: OPENAI_API_KEY is not set" in worker.says()
    assert "Traceback" not in worker.says()


def test_an_unknown_queue_is_told_before_anything_starts(start_worker: StartWorker) -> None:
    worker = start_worker(ready=False, queues="opnai")
    assert worker.end() == 1
    assert "opnai" in worker.says()
    assert not worker.notes("start")


def test_the_engine_learns_its_queues_and_its_capacity(start_worker: StartWorker) -> None:
    worker = start_worker(queues="isolated")
    (start,) = worker.notes("start")
    assert (start["queues"], start["capacity"]) == (["isolated"], 50)


def test_missing_settings_are_told_without_a_traceback(tmp_path: Path) -> None:
    names = ("DATABASE_URL", "REDIS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["PYTHONPATH"] = str(REPOSITORY)
    command = [sys.executable, "-m", "celery", "-A", "worker.main", "worker"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "DATABASE_URL" in ended.stderr
    assert "Traceback" not in ended.stderr
