"""The stock Redis transport, hardened against garbage and against a lost acknowledgement.

The wire format is kombu's own; monitors and publishers may use the stock transport.
"""

import logging
from contextlib import suppress
from queue import Empty
from typing import Any, Final

from kombu.transport import redis, virtual
from redis.exceptions import ConnectionError as RedisConnectionError

logger = logging.getLogger(__name__)

NOT_A_MESSAGE: Final = (ValueError, TypeError, AttributeError, LookupError)
"""What kombu raises on bytes that are no message; it would end the worker or loop forever."""


class QoS(redis.QoS):  # type: ignore[misc]
    """The window of messages taken and not yet acknowledged."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; a failure still frees the message's place in the window.

        Stock kombu keeps the place, so a few failures on a frozen Redis would stop the
        consumer for good. Redis still holds the message and delivers it again.
        """
        try:
            super().ack(delivery_tag)
        except self.channel.connection_errors:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def restore_unacked(self, client: object = None) -> None:
        """Hand back what was not acknowledged, unless the broker has gone.

        What the broker still holds comes back after its visibility timeout.
        """
        with suppress(*self.channel.connection_errors):
            super().restore_unacked(client)
        self._delivered.clear()


class Channel(redis.Channel):  # type: ignore[misc]
    """A channel that drops what is no message, and knows when it is closed."""

    QoS = QoS
    _kept: Any = None

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's
        """Say of a closed channel that its connection is lost.

        Stock kombu stumbles over the connection that it has forgotten, and a late
        acknowledgement after a loss of Redis ends the worker.
        """
        if self.connection is None or self.connection.client is None:
            message = "the channel is closed"
            raise RedisConnectionError(message)
        return super()._connparams(asynchronous=asynchronous)

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's
        """One client as long as its pool: each acknowledgement asks for one, and it keeps no state.

        Making one costs more CPU than what it is asked for.
        """
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()
        return self._kept

    def _brpop_read(self, **options: object) -> bool:
        try:
            return bool(super()._brpop_read(**options))
        except Empty:
            raise
        except NOT_A_MESSAGE as error:
            logger.warning("dropped from the broker: no message (%s)", type(error).__name__)
            raise Empty from None


class Transport(redis.Transport):  # type: ignore[misc]
    """The transport of every Promptmill process."""

    Channel = Channel
