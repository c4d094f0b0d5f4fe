"""A worker's Starter and Finisher, and a dispatcher's turns, on a database of the test's choice."""

from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

from shared.broker.events import EventSender
from shared.broker.publish import Publisher
from shared.catalog.current import CurrentCatalog
from shared.catalog.load import load_catalog
from shared.db.engine import Database
from shared.db.leave import Left
from shared.domain.clock import SystemClock
from shared.doorbell import Doorbell
from shared.meters.meter import Meter
from shared.redis_client import connect_redis
from shared.settings import DispatchSettings, WorkerSettings
from tests.life import WORKER, Life
from worker.dispatch.fleet import Fleet
from worker.dispatch.retries import RetryBudgets
from worker.dispatch.turn import Means
from worker.failpoint import Failpoints
from worker.pipeline.announce import Announcer
from worker.pipeline.finish import Finisher
from worker.pipeline.start import Starter

SETTINGS = WorkerSettings()
UNLIMITED = "[limits.openai]\nrequests = 0\ntokens = 0\n"


class Beating:
    """A heartbeat that is sure of its lease."""

    worker_id = WORKER
    sure = True


class Told:
    """Hears of what was finished."""

    def __init__(self) -> None:
        self.left: list[Left] = []

    async def __call__(self, left: Sequence[Left]) -> None:
        self.left += left


def starter(database: Database, in_flight: Container[str] = ()) -> Starter:
    return Starter(database, Beating(), in_flight, SETTINGS)  # type: ignore[arg-type]


def finisher(database: Database) -> Finisher:
    return Finisher(database, SETTINGS, Failpoints(None), Told())


@asynccontextmanager
async def dispatching(
    life: Life, database: Database, redis_url: str, folder: Path
) -> AsyncIterator[tuple[Means, Redis]]:
    """What a route's turns need to release through `database` without limits; and its Redis."""
    overlay = folder / "catalog.toml"
    overlay.write_text(UNLIMITED)
    redis = connect_redis(redis_url)
    meter, publisher = Meter(redis), Publisher(redis_url)
    await meter.rebuild([])
    fleet = Fleet()
    async with life.database.transaction() as connection:
        await fleet.count(connection)
    yield (
        Means(
            looks=database,
            mint=database,
            current=CurrentCatalog(partial(load_catalog, overlay), overlay),
            meter=meter,
            fleet=fleet,
            publisher=publisher,
            clock=SystemClock(),
            settings=DispatchSettings(),
            failpoints=Failpoints(None),
            announcer=Announcer(EventSender(redis_url, "test"), SystemClock(), "test", lambda: 0),
            doorbell=Doorbell(redis),
            retries=RetryBudgets(),
        ),
        redis,
    )
    await publisher.close()
    await redis.aclose()
