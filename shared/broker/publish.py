"""Publish groups of attempt ids, pipelined."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from kombu.messaging import Producer

from shared.broker.line import Line
from shared.broker.messages import run_message

PUBLISH_LIMIT: Final = 3.0
"""Seconds for one call of `publish`, whatever Redis does."""
PIPELINE: Final = 500
"""Messages per round trip."""


class Publisher:
    """Sends attempt ids to a provider's queue; one per process, for one event loop."""

    def __init__(self, redis_url: str, *, limit: float = PUBLISH_LIMIT) -> None:
        self._line = Line(redis_url, name="publish", limit=limit)

    async def publish(self, queue: str, groups: Sequence[Sequence[str]]) -> None:
        """Send one message per group, in one or few round trips.

        Raises PublishError when it cannot be sure that all arrived, within the limit in
        seconds. The next call connects again.
        """
        if groups:
            await self._line.send(partial(_put, queue, groups))

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await self._line.close()


def _put(queue: str, groups: Sequence[Sequence[str]], producer: Producer) -> None:
    with producer.batch(PIPELINE):
        for group in groups:
            body, headers = run_message(group)
            # The anonymous exchange goes straight to the list: no look at the bindings,
            # which an emptied Redis has lost.
            producer.publish(
                body,
                exchange="",
                routing_key=queue,
                headers=headers,
                serializer="json",
                correlation_id=headers["id"],
            )
