"""Send Celery's events, by which Flower and `celery events` know workers and tasks."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from celery.events.event import get_exchange
from kombu.messaging import Producer

from shared.broker.line import Line

SEND_LIMIT: Final = 2.0
"""Seconds for one call of `send`."""
GROUP: Final = 500
"""Events per message."""
ROUTING_KEY: Final = "task.multi"

Event = Mapping[str, Any]


class EventSender:
    """Sends events in groups; who does not listen at that moment never hears of them."""

    def __init__(self, redis_url: str, hostname: str) -> None:
        self._line = Line(redis_url, name="events", limit=SEND_LIMIT)
        self._hostname = hostname

    async def send(self, events: Sequence[Event]) -> None:
        """Send these, in order. Raises PublishError when the broker does not answer."""
        if events:
            await self._line.send(partial(_put, events, self._hostname))

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await self._line.close()


def _put(events: Sequence[Event], hostname: str, producer: Producer) -> None:
    exchange = get_exchange(producer.connection)
    producer.maybe_declare(exchange)
    for first in range(0, len(events), GROUP):
        producer.publish(
            events[first : first + GROUP],
            exchange=exchange,
            routing_key=ROUTING_KEY,
            headers={"hostname": hostname},
            serializer="json",
            delivery_mode="transient",
        )
