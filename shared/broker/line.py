"""A connection to the broker for sending, in a thread of its own, within a time limit."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from kombu.connection import Connection
from kombu.messaging import Producer

from shared.broker.app import CONNECTION_OPTIONS, TRANSPORT, tls_of
from shared.domain.errors import UnavailableError

STEP_LIMIT: Final = 1.0
"""Seconds for one answer, so that the thread is free again soon after a failure."""


class PublishError(UnavailableError):
    """The broker did not confirm; some of the messages may have arrived all the same."""


class Line:
    """One producer on one connection; one per purpose and process, for one event loop."""

    def __init__(self, redis_url: str, *, name: str, limit: float) -> None:
        """`limit` in seconds holds for each call of `send`, whatever Redis does."""
        self._redis_url = redis_url
        self._limit = limit
        self._connection: Any = None
        self._producer: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def send(self, put: Callable[[Producer], None]) -> None:
        """Let `put` publish on the line's producer.

        Raises PublishError when it cannot be sure that all arrived. The next call connects
        again.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limit):
                await loop.run_in_executor(self._thread, self._put, put)
        except TimeoutError:
            message = f"the broker did not answer within {self._limit:g} s"
            raise PublishError(message) from None

    async def close(self) -> None:
        """Close the connection and end the thread, at most after one step limit."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    def _put(self, put: Callable[[Producer], None]) -> None:
        try:
            if self._producer is None:
                self._connect()
            put(self._producer)
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
