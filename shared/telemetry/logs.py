"""Structured logs: one line an event, allow-listed fields, never a prompt or a key."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

ALLOWED: Final = frozenset(
    {
        "event", "level", "timestamp", "logger", "exception", "exc_info", "error", "detail",
        "job_id", "attempt_id", "worker_id", "workers", "deployment", "route", "queue", "bell",
        "what", "count", "in_flight", "open_slots", "path", "status", "seconds", "request_id",
    }
)  # fmt: skip
"""A field that is not named here is dropped: prompts and secrets cannot slip in."""


def configure_logs(level: str) -> None:
    """Write events from `level` on to stderr: JSON lines, or for people on a terminal."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _allow_listed,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _allow_listed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in ALLOWED}
