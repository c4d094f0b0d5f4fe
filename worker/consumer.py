"""The Celery consumer: a small window of messages, quick reconnects, no death by garbage."""

import logging
from collections.abc import Callable
from typing import Final

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from kombu.connection import Connection
from kombu.message import Message

logger = logging.getLogger(__name__)

WINDOW: Final = 8
"""Messages taken and not yet acknowledged: enough to keep the engine fed while it commits
starts, few enough that a full worker leaves the rest to others."""
RECONNECT: Final = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 2.0}
"""Seconds between attempts; Celery's own grow to 30, long after Redis is back."""
GARBAGE: Final = (LookupError, TypeError, ValueError, AttributeError)
"""What Celery raises on a message without its fields; unhandled it ends or loops the worker."""


class MillConsumer(Consumer):  # type: ignore[misc]
    """Takes carriers of attempt ids; concurrency counts calls, so it does not set the window."""

    def __init__(
        self, *args: object, worker_options: dict[str, object] | None = None, **kwargs: object
    ) -> None:
        # Workers owe each other nothing: no gossip, no waiting for neighbours at the start.
        # Signs of life come from the engine, which counts calls; Celery would count carriers.
        without = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
        options = {**(worker_options or {}), **without}
        kwargs["initial_prefetch_count"] = WINDOW
        super().__init__(*args, worker_options=options, **kwargs)

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, for as long as it takes; a shutdown interrupts it."""
        connected = conn.ensure_connection(
            self._say_away,
            self.app.conf.broker_connection_max_retries,
            callback=maybe_shutdown,
            **RECONNECT,
        )
        self.first_connection_attempt = False
        return connected

    def create_task_handler(self, *args: object, **kwargs: object) -> Callable[[Message], None]:
        """Celery's handler; what it cannot read is logged and dropped."""
        handle = super().create_task_handler(*args, **kwargs)

        def handle_or_drop(message: Message) -> None:
            try:
                handle(message)
            except GARBAGE as error:
                logger.warning("dropped a message that is no task (%s)", type(error).__name__)
                message.reject_log_error(logger, self.connection_errors)

        return handle_or_drop

    def _update_prefetch_count(self, index: int = 0) -> None:
        """Do nothing: growing and shrinking the pool changes calls in flight, not the window."""

    def _say_away(self, error: Exception, interval: float) -> None:
        logger.warning(
            "the broker is away (%s); next attempt in %.1f s", type(error).__name__, interval
        )
