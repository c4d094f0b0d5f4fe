"""The stock Redis transport, hardened against garbage and against a lost acknowledgement.

The wire format is kombu's own; monitors and publishers may use the stock transport.
"""

import logging
from queue import Empty
from typing import Final

from kombu.transport import redis, virtual

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


class Channel(redis.Channel):  # type: ignore[misc]
    """A channel that drops what is no message."""

    QoS = QoS

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
