"""The Celery application: every setting in one table, with its reason."""

from collections.abc import Iterable
from ssl import CERT_REQUIRED
from typing import Any, Final

from celery import Celery
from kombu.entity import Exchange, Queue

from shared.broker.messages import SERVICE_QUEUES, UPKEEP_QUEUE

TRANSPORT: Final = "shared.broker.transport:Transport"
EXCHANGE: Final = Exchange("promptmill", type="direct")

SOCKET_TIMEOUT: Final = 3.0
"""Seconds for any answer of Redis but a blocking pop."""

CONNECTION_OPTIONS: Final[dict[str, Any]] = {
    "socket_timeout": SOCKET_TIMEOUT,  # a frozen Redis must not hold a thread for ever
    "socket_connect_timeout": SOCKET_TIMEOUT,
    "socket_keepalive": True,  # notices a peer that vanished without a word
    "priority_steps": [0],  # lanes are the dispatcher's: one list per queue, a quarter of the keys
    # no retry_on_timeout: it would disable pipelined publishing
}

CONSUMER_OPTIONS: Final[dict[str, Any]] = {
    # A message is acknowledged when its start has committed, within milliseconds. What
    # lies longer belongs to a dead or stuck worker; redelivery is harmless, and should
    # come before the 30 s after which an unstarted attempt is given back.
    "visibility_timeout": 20,
    "unacked_restore_interval": 5,  # seconds between two looks for such messages
    "unacked_restore_throttle": 1,  # every look counts, not every tenth
    "unacked_mutex_expire": 10,  # stock 300 s: a crash inside a look would stall the next ones
    "health_check_interval": 5,  # a blocking pop this much overdue is a dead connection
}

SETTINGS: Final[dict[str, Any]] = {
    # JSON only: a message can never be code.
    "accept_content": ["json"],
    "task_serializer": "json",
    "event_serializer": "json",
    # Postgres holds the results.
    "result_backend": None,
    "task_ignore_result": True,
    # Acknowledged when the body returned, that is when the start has committed. A body
    # that failed is acknowledged too: Postgres rescues, the broker never loops.
    "task_acks_late": True,
    "task_acks_on_failure_or_timeout": True,
    "task_reject_on_worker_lost": False,
    # Queues are known; an unknown name after -Q is a mistake to tell, not a queue to make.
    "task_create_missing_queues": False,
    "task_default_exchange": EXCHANGE.name,
    "task_default_exchange_type": EXCHANGE.type,
    "task_default_queue": UPKEEP_QUEUE,
    "task_default_routing_key": UPKEEP_QUEUE,
    # Rate is decided at release; rate limits cost a bucket per task and are inexact.
    "worker_disable_rate_limits": True,
    # Carriers are not shown as tasks: the worker sends events per job.
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    # Deliveries are counted in messages (worker/consumer.py), not in calls.
    "worker_prefetch_multiplier": 1,
    "worker_enable_prefetch_count_reduction": False,
    # The broker may be away for as long as it likes; running calls go on meanwhile.
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": SOCKET_TIMEOUT,
    # A Redis that refuses writes (full, or a replica after a failover) is away, not fatal.
    "broker_channel_error_retry": True,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # Logging is configured by the process itself.
    "worker_redirect_stdouts": False,
    "timezone": "UTC",
    "enable_utc": True,
}


def tls_of(redis_url: str) -> dict[str, Any] | bool:
    """Tell the TLS settings that the URL's scheme asks for; a named transport skips kombu's."""
    return {"ssl_cert_reqs": CERT_REQUIRED} if redis_url.startswith("rediss://") else False


def make_app(redis_url: str, queues: Iterable[str]) -> Celery:
    """Make the application over these provider queues and the service queues.

    `redis_url` is a `redis://` or `rediss://` URL. Nothing is connected here.
    """
    app = Celery("promptmill", set_as_current=False)
    app.conf.update(SETTINGS)
    app.conf.broker_url = redis_url
    app.conf.broker_use_ssl = tls_of(redis_url)
    app.conf.broker_transport = TRANSPORT
    app.conf.broker_transport_options = {**CONNECTION_OPTIONS, **CONSUMER_OPTIONS}
    app.conf.task_queues = [
        Queue(name, EXCHANGE, routing_key=name)
        for name in dict.fromkeys((*queues, *SERVICE_QUEUES))
    ]
    return app
