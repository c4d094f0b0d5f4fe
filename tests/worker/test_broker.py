"""What the broker's use promises: no death by garbage, quick recovery, a publisher that is sure."""

import asyncio
import base64
import json
import signal
import time
from collections.abc import AsyncIterator

import pytest

from shared.broker.app import make_app, tls_of
from shared.broker.line import PublishError
from shared.broker.messages import attempt_ids_in, run_message
from shared.broker.publish import PUBLISH_LIMIT, Publisher
from shared.domain.ids import IdKind, new_id
from tests.worker.conftest import Broker, StartWorker, Worker, eventually
from worker.consumer import WINDOW


def attempt_ids(count: int) -> list[str]:
    return [new_id(IdKind.ATTEMPT) for _ in range(count)]


@pytest.fixture
async def publisher(broker: Broker) -> AsyncIterator[Publisher]:
    own = Publisher(broker.url)
    yield own
    await own.close()


def wire(body: object, **headers: object) -> str:
    """Write a message as kombu does, with headers laid over the right ones."""
    right = run_message(attempt_ids(1))[1]
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {k: v for k, v in {**right, **headers}.items() if v != "absent"},
            "properties": {
                "correlation_id": "x",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "openai"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": new_id(IdKind.RUN),
            },
        }
    )


EMBED: dict[str, None] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
GARBAGE = [
    "\x00\xff not json",
    "5",
    "[]",
    "{}",
    "null",
    '{"properties": 3}',
    wire([[["att_x"]], {}, EMBED]).replace("base64", "rot13"),
    wire([[["att_x"]], {}, EMBED]).replace("application/json", "application/x-python-serialize"),
    wire([[["att_x"]], {}, EMBED], id="absent"),
    wire([[["att_x"]], {}, EMBED], task="absent"),
    wire([[["att_x"]], {}, EMBED], task="os.system"),
    wire([[["att_x"]], {}, EMBED], eta="tomorrow"),
    wire([[["att_x"]], {}, EMBED], id=["a", "list"]),
    wire([[["att_x"]], {}, EMBED]).replace('"delivery_tag": ', '"delivery_tag": [], "x": '),
    wire("no triple"),
    wire([1, 2, 3]),
    wire([[], {}, EMBED]),
    wire([[[], [], []], {}, EMBED]),
    wire([["no list"], {}, EMBED]),
    wire([[[None, 7, "att_'; drop table jobs", "job_" + "0" * 26, "att_" + "0" * 25]], {}, EMBED]),
]


async def test_garbage_never_stops_a_worker(
    broker: Broker, start_worker: StartWorker, publisher: Publisher
) -> None:
    worker = start_worker()
    for item in GARBAGE:
        broker.client.lpush("openai", item)
    good = attempt_ids(2)
    await publisher.publish("openai", [good])
    eventually(lambda: good[0] in worker.ids("taken"), "the good message is taken")
    eventually(lambda: broker.waiting() + broker.unacknowledged() == 0, "nothing goes round")
    assert worker.process.poll() is None
    assert set(worker.ids("take")) == set(good), "nothing but attempt ids reaches the engine"


def test_only_attempt_ids_are_trusted() -> None:
    good = attempt_ids(2)
    assert attempt_ids_in(good) == (good, 0)
    assert attempt_ids_in([*good, "att_", None, good[0] + "\n", good[0].upper()]) == (good, 4)
    assert attempt_ids_in("att_" + "0" * 26) == ([], 1)
    assert attempt_ids_in({"a": 1}) == ([], 1)


async def goes_on(worker: Worker, publisher: Publisher, *, within: float) -> None:
    """Show that a message published now is taken soon."""
    group = attempt_ids(1)
    await publisher.publish("openai", [group])
    eventually(lambda: group[0] in worker.ids("taken"), "consumption resumed", within=within)


@pytest.mark.parametrize("seconds", [2.0, 8.0])
async def test_consumption_resumes_after_redis_was_frozen(
    broker: Broker, start_worker: StartWorker, publisher: Publisher, seconds: float
) -> None:
    worker = start_worker()
    worker.hold.touch()
    await publisher.publish("openai", [attempt_ids(1) for _ in range(3)])
    eventually(lambda: len(worker.notes("take")) == 3, "three are being started")
    broker.freeze()
    worker.hold.unlink()  # so the acknowledgements meet the frozen Redis
    await asyncio.sleep(seconds)
    broker.thaw()
    await goes_on(worker, publisher, within=10)
    worker.hold.touch()
    groups = [attempt_ids(1) for _ in range(WINDOW)]
    await publisher.publish("openai", groups)
    taken = {attempt for group in groups for attempt in group}
    eventually(lambda: taken <= set(worker.ids("take")), "no place in the window was lost")
    assert len(worker.notes("start")) == 1, "the engine did not notice"


async def test_consumption_resumes_after_redis_was_killed(
    broker: Broker, start_worker: StartWorker, publisher: Publisher
) -> None:
    worker = start_worker()
    await goes_on(worker, publisher, within=10)
    broker.kill()
    await asyncio.sleep(3)
    broker.start()
    await goes_on(worker, publisher, within=10)
    assert worker.process.poll() is None
    assert len(worker.notes("start")) == 1, "the engine did not notice"


async def test_consumption_resumes_after_redis_refused_writes(
    broker: Broker, start_worker: StartWorker, publisher: Publisher
) -> None:
    worker = start_worker()
    await goes_on(worker, publisher, within=10)
    broker.client.replicaof("127.0.0.1", "1")
    with pytest.raises(PublishError):
        await publisher.publish("openai", [attempt_ids(1)])
    await asyncio.sleep(2)
    broker.client.replicaof("NO", "ONE")
    await goes_on(worker, publisher, within=10)
    assert len(worker.notes("start")) == 1, "the engine did not notice"


async def test_an_emptied_redis_loses_messages_but_not_the_way(
    broker: Broker, start_worker: StartWorker, publisher: Publisher
) -> None:
    worker = start_worker()
    await goes_on(worker, publisher, within=10)
    broker.client.flushall()
    await goes_on(worker, publisher, within=10)
    assert "Traceback" not in worker.says()


async def test_a_worker_stops_in_time_while_redis_is_frozen(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker()
    broker.freeze()
    worker.signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.end, within=20) == 0
    broker.thaw()
    assert worker.notes("stop")


def test_a_worker_waits_for_a_broker_that_is_away(
    broker: Broker, start_worker: StartWorker
) -> None:
    broker.kill()
    worker = start_worker(ready=False)
    eventually(lambda: "the broker is away" in worker.says(), "it says so")
    broker.start()
    eventually(lambda: len(broker.client.client_list(_type="normal")) > 1, "it connects")
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0


async def test_each_group_is_one_message_in_order(broker: Broker, publisher: Publisher) -> None:
    groups = [attempt_ids(size) for size in (1, 20, 3)]
    await publisher.publish("simulator", groups)
    items = [json.loads(item) for item in broker.client.lrange("simulator", 0, -1)]
    bodies = [json.loads(base64.b64decode(item["body"])) for item in reversed(items)]
    assert [body[0] for body in bodies] == [[group] for group in groups]
    assert len({item["properties"]["delivery_tag"] for item in items}) == 3


async def test_nothing_to_publish_needs_no_broker() -> None:
    publisher = Publisher("redis://127.0.0.1:1/0")
    await publisher.publish("openai", [])
    with pytest.raises(PublishError, match="cannot be reached"):
        await publisher.publish("openai", [attempt_ids(1)])
    await publisher.close()


async def test_a_publisher_gives_up_on_a_frozen_redis_and_recovers_by_itself(
    broker: Broker, publisher: Publisher
) -> None:
    await publisher.publish("openai", [attempt_ids(1)])
    broker.freeze()
    for _ in range(2):
        begun = time.monotonic()
        with pytest.raises(PublishError):
            await publisher.publish("openai", [attempt_ids(1)])
        assert time.monotonic() - begun < PUBLISH_LIMIT + 0.5
    broker.thaw()
    before = broker.waiting()
    await publisher.publish("openai", [attempt_ids(1)])
    assert broker.waiting() >= before + 1


async def test_a_publisher_is_not_sure_of_a_killed_redis_and_recovers_by_itself(
    broker: Broker, publisher: Publisher
) -> None:
    await publisher.publish("openai", [attempt_ids(1)])
    broker.kill()
    with pytest.raises(PublishError):
        await publisher.publish("openai", [attempt_ids(1)])
    broker.start()
    await publisher.publish("openai", [attempt_ids(1)])
    assert broker.waiting() == 2


async def test_publishing_never_stops_the_loop(broker: Broker, publisher: Publisher) -> None:
    await publisher.publish("openai", [attempt_ids(1)])
    broker.freeze()
    sending = asyncio.create_task(publisher.publish("openai", [attempt_ids(1)]))
    turns = 0
    while not sending.done():
        await asyncio.sleep(0.01)
        turns += 1
    broker.thaw()
    assert isinstance(sending.exception(), PublishError)
    assert turns > 20


def test_a_message_can_never_be_code_nor_a_result() -> None:
    app = make_app("redis://127.0.0.1:1/0", ["openai"])
    assert app.conf.accept_content == ["json"]
    assert app.conf.result_backend is None
    assert sorted(app.amqp.queues) == ["isolated", "openai", "upkeep"]


def test_a_tls_url_is_spoken_with_tls() -> None:
    app = make_app("rediss://127.0.0.1:1/0", ["openai"])
    assert app.connection_for_write().ssl == tls_of("rediss://127.0.0.1:1/0")
    assert tls_of("redis://127.0.0.1:1/0") is False
