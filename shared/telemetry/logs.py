"""Structured logs: one line an event, allow-listed fields, never a prompt or a key."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

from shared.telemetry.exceptions import retold

Format = Literal["auto", "json", "text"]
"""auto: JSON lines, but for people where stderr is a terminal."""

ALLOWED: Final = frozenset(
    {
        "event", "level", "timestamp", "logger", "exception", "error", "detail", "dropped",
        "job_id", "attempt_id", "tenant_id", "request_id", "worker_id", "workers", "deployment",
        "route", "queue", "bell", "service", "what", "count", "in_flight", "open_slots",
        "method", "path", "status", "seconds", "variable", "near",
        "budget_id", "percent", "spent_nano", "cap_nano", "subject", "state_version",
    }
)  # fmt: skip
"""A field that is not named here is dropped, and `dropped` tells its name."""

HOUSES: Final = ("api", "worker", "shared", "cli")
FOREIGN_LEVEL: Final = logging.WARNING
"""Below it libraries write down what they send and get."""
OWN_HANDLERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "kombu")
"""Loggers whose libraries bring handlers of their own: they would print past the allow-list."""
LONGEST: Final = 300
LEVELS: Final = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)

Event = MutableMapping[str, Any]


def configure_logs(level: str, shape: Format = "auto", stream: TextIO | None = None) -> None:
    """Write events from `level` on to stderr, the libraries' warnings among them."""
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level]
    people = stream.isatty() if shape == "auto" else shape == "text"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exceptions_retold,
            _allow_listed,
            _first_lines,
            structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    _take_over_logging(number)


class Forwarder(logging.Handler):
    """Hands the records of the standard library's logging on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on; its arguments only where nothing was raised."""
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        level = next((each for each in LEVELS if record.levelno >= each), logging.DEBUG)
        try:
            structlog.get_logger().log(level, _said(record), **fields)
        except Exception:  # noqa: BLE001 - a log line must not break the work
            self.handleError(record)


def _take_over_logging(level: int) -> None:
    """One way out for everything: our houses from `level` on, others from warnings on."""
    root = logging.getLogger()
    root.handlers[:] = [Forwarder()]
    root.setLevel(max(level, FOREIGN_LEVEL))
    for house in HOUSES:
        logging.getLogger(house).setLevel(level)
    for name in OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)


def _said(record: logging.LogRecord) -> str:
    """A library that tells of an exception quotes it in the arguments: the words alone then."""
    foreign = record.name.partition(".")[0] not in HOUSES
    return str(record.msg) if foreign and record.exc_info else record.getMessage()


def _exceptions_retold(_: Any, __: str, event: Event) -> Event:
    """An exception's types and places; its words may quote a prompt."""
    match event.pop("exc_info", None):
        case BaseException() as error:
            event["exception"] = retold(error)
        case (_, BaseException() as error, _):
            event["exception"] = retold(error)
        case True if current := sys.exception():
            event["exception"] = retold(current)
        case _:
            pass
    return event


def _allow_listed(_: Any, __: str, event: Event) -> Event:
    kept = {name: value for name, value in event.items() if name in ALLOWED}
    if dropped := sorted(set(event) - set(kept)):
        kept["dropped"] = dropped
    return kept


def _first_lines(_: Any, __: str, event: Event) -> Event:
    """Databases and SDKs quote what they were given, on later lines and at length."""
    for name in ("event", "error", "detail"):
        if isinstance(value := event.get(name), str):
            event[name] = value.partition("\n")[0][:LONGEST]
    return event
