"""The worker's entry, `celery -A worker.main worker -P custom`: settings in, engine out."""

import warnings

from celery import Celery
from celery.exceptions import SecurityWarning

from shared.catalog.deployments import Catalog, load_catalog
from shared.domain.errors import ConfigurationError
from shared.settings import Settings, read_settings
from shared.telemetry.logs import configure_logs
from worker.app import make_worker
from worker.step import Engine, MakeEngine

# Celery warns every root of pickle; here a message is JSON or nothing.
warnings.filterwarnings("ignore", category=SecurityWarning)


def _read() -> tuple[Settings, Catalog]:
    try:
        settings = read_settings()
        configure_logs(settings.log_level)
        return settings, load_catalog(settings.catalog, simulator_url=settings.simulator_url)
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None


def _engine_maker(settings: Settings, catalog: Catalog) -> MakeEngine:
    def make(queues: tuple[str, ...], capacity: int) -> Engine:
        # Imported here: the SDK costs a second, and `celery inspect` has no use for it.
        from worker.engine import MillEngine  # noqa: PLC0415

        return MillEngine(settings, catalog, queues, capacity)

    return make


def _make() -> Celery:
    settings, catalog = _read()
    return make_worker(
        settings.redis_url.get_secret_value(),
        catalog.queues(),
        _engine_maker(settings, catalog),
        drain=settings.worker.drain,
    )


app = _make()
