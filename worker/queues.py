"""Which Celery queues this process takes messages of: chosen at its start, changed as it runs."""

import logging
from collections.abc import Collection
from functools import partial

from celery.worker import WorkController

from shared.broker.app import EXCHANGE

logger = logging.getLogger(__name__)


def take_only(worker: WorkController, queues: Collection[str]) -> None:
    """Take messages of no others; called before the consumer starts."""
    known = worker.app.amqp.queues
    for name in set(known.consume_from) - set(queues):
        known.deselect(name)


def take_other(worker: WorkController, queues: Collection[str]) -> None:
    """Take messages of exactly these from now on; from any thread."""
    worker.hub.call_soon(partial(_take, worker, frozenset(queues)))


def _take(worker: WorkController, queues: frozenset[str]) -> None:
    """Each queue is chosen before the broker is asked: a broken line takes it when it is back."""
    taken = set(worker.app.amqp.queues.consume_from)
    try:
        for name in sorted(queues - taken):
            worker.consumer.add_task_queue(
                name, exchange=EXCHANGE.name, exchange_type=EXCHANGE.type, routing_key=name
            )
        for name in sorted(taken - queues):
            worker.consumer.cancel_task_queue(name)
    except Exception as error:  # noqa: BLE001 - any failure of the broker means the same here
        logger.warning("queues change when the broker is back (%s)", type(error).__name__)
