"""Publish groups of attempt ids, pipelined, from a thread of its own, within a time limit."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from kombu.connection import Connection
from kombu.messaging import Producer

from shared.broker.app import CONNECTION_OPTIONS, TRANSPORT, tls_of
from shared.broker.messages import run_message
from shared.domain.errors import UnavailableError

PUBLISH_LIMIT: Final = 3.0
"""Seconds for one call of `publish`, whatever Redis does."""
STEP_LIMIT: Final = 1.0
"""Seconds for one answer, so that the thread is free again soon after a failure."""
PIPELINE: Final = 500
"""Messages per round trip."""


class PublishError(UnavailableError):
    """The broker did not confirm; some of the messages may have arrived all the same."""


class Publisher:
    """Sends attempt ids to a provider's queue; one per process, for one event loop."""

    def __init__(self, redis_url: str, *, limit: float = PUBLISH_LIMIT) -> None:
        self._redis_url = redis_url
        self._limit = limit
        self._connection: Any = None
        self._producer: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")

    async def publish(self, queue: str, groups: Sequence[Sequence[str]]) -> None:
        """Send one message per group, in one or few round trips.

        Raises PublishError when it cannot be sure that all arrived, within the limit in
        seconds. The next call connects again.
        """
        if not groups:
            return
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limit):
                await loop.run_in_executor(self._thread, self._send, queue, groups)
        except TimeoutError:
            message = f"the broker did not answer within {self._limit:g} s"
            raise PublishError(message) from None

    async def close(self) -> None:
        """Close the connection and end the thread, at most after one step limit."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    def _send(self, queue: str, groups: Sequence[Sequence[str]]) -> None:
        try:
            if self._producer is None:
                self._connect()
            with self._producer.batch(PIPELINE):
                for group in groups:
                    body, headers = run_message(group)
                    # The anonymous exchange goes straight to the list: no look at the
                    # bindings, which an emptied Redis has lost.
                    self._producer.publish(
                        body,
                        exchange="",
                        routing_key=queue,
                        headers=headers,
                        serializer="json",
                        correlation_id=headers["id"],
                    )
        except Exception as error:
            self._disconnect()
            message = f"the broker cannot be reached: {type(error).__name__}"
            raise PublishError(message) from error

    def _connect(self) -> None:
        step = min(STEP_LIMIT, self._limit)
        self._connection = Connection(
            self._redis_url,
            transport=TRANSPORT,
            ssl=tls_of(self._redis_url),
            transport_options={
                **CONNECTION_OPTIONS,
                "socket_timeout": step,
                "socket_connect_timeout": step,
            },
        ).ensure_connection(max_retries=0)
        self._producer = Producer(self._connection.channel(), auto_declare=False)

    def _disconnect(self) -> None:
        self._producer = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
