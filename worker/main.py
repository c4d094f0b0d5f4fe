"""The worker's entry, `celery -A worker.main worker -P custom`: settings in, engine out."""

import warnings

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from shared.catalog.current import CurrentCatalog
from shared.configuration import configuration_or_exit
from shared.settings import Settings
from worker.app import make_worker
from worker.step import Engine, MakeEngine

# Celery warns every root of pickle; here a message is JSON or nothing.
warnings.filterwarnings("ignore", category=SecurityWarning)


def _engine_maker(settings: Settings, current: CurrentCatalog) -> MakeEngine:
    def make(hostname: str, queues: tuple[str, ...], capacity: int) -> Engine:
        # Imported here: the SDK costs a second, and `celery inspect` has no use for it.
        from worker.engine import MillEngine  # noqa: PLC0415

        return MillEngine(settings, current, hostname, queues, capacity)

    return make


def _make() -> Celery:
    told = configuration_or_exit("worker")
    settings, current = told.settings, told.current
    # A listener keeps Celery from laying its own logging over ours.
    signals.setup_logging.connect(_logs_are_configured, weak=False)
    return make_worker(
        settings.redis_url.get_secret_value(),
        current.catalog.queues(),
        _engine_maker(settings, current),
        drain=settings.worker.drain,
    )


def _logs_are_configured(**_: object) -> None:
    """Nothing is left to do."""


app = _make()
