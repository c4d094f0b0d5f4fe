"""The API process: settings in, FastAPI out."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Final

from fastapi import FastAPI

from api import errors, health, metrics
from api.account import keys
from api.account import limits as tenant_limits
from api.account import routes as account
from api.admission.backlog import Backlog
from api.admission.requests import RequestLimits
from api.bodies import Described
from api.budgets import routes as budgets
from api.catalog import models, providers
from api.deps import Parts
from api.jobs import events, explain
from api.jobs import routes as jobs
from api.jobs.wait import Waiters
from api.jobs.watchers import Watchers
from api.middleware import ByteCap, RequestIds
from api.quotes import routes as quotes
from api.receipts import routes as receipts
from api.routing import explain as plans
from api.routing import listed, usual
from api.tokens import routes as tokens
from api.usage import routes as used
from shared.collector import spare_what_stays
from shared.configuration import configuration_or_exit, current_catalog
from shared.db.engine import Database
from shared.doorbell import Doorbell
from shared.meters.meter import Meter
from shared.redis_client import connect_redis
from shared.services import kept_alive
from shared.settings import Settings

POOL_SIZE: Final = 10
DESCRIPTION: Final = """Give it prompts, get back every answer.

Submit a job, get `202` and a status URL; the job is committed before you read that.
Every request needs `Authorization: Bearer pm_…`. Every error has one shape:
`{"error": {"code", "message", "field", "line", "request_id"}}`."""


def create() -> FastAPI:
    """For uvicorn: `uvicorn api.main:create --factory`."""
    return create_app(configuration_or_exit("api").settings)


def create_app(settings: Settings) -> FastAPI:
    """The app over these settings; it connects when it starts."""
    app = Described(
        title="Promptmill",
        version=version("promptmill"),
        description=DESCRIPTION,
        lifespan=partial(_lifespan, settings),
        redoc_url=None,
    )
    app.state.leaving = False
    accounts = (account, keys, tenant_limits, usual, budgets, receipts, used)
    before = (plans, quotes, tokens)
    about = (models, listed, providers, health, metrics)
    for room in (jobs, events, explain, *before, *accounts, *about):
        app.include_router(room.router)
    errors.install(app)
    caps = dict.fromkeys((jobs.BULK_PATH, quotes.PATH), settings.api.max_bulk_bytes)
    app.add_middleware(ByteCap, caps=caps, otherwise=settings.api.max_body_bytes)
    app.add_middleware(RequestIds)
    return app


@asynccontextmanager
async def _lifespan(settings: Settings, app: FastAPI) -> AsyncIterator[None]:
    """Connect, serve, close."""
    current = current_catalog(settings)
    url = settings.sqlalchemy_url
    database = Database(url, pool_size=POOL_SIZE, name="promptmill-api", check=True)
    redis = connect_redis(settings.redis_url.get_secret_value())
    doorbell = Doorbell(redis)
    waiters = Waiters(database, doorbell)
    watchers = Watchers(database, doorbell, redis, most_each=settings.api.max_streams)
    app.state.parts = Parts(
        settings=settings,
        current=current,
        database=database,
        doorbell=doorbell,
        waiters=waiters,
        watchers=watchers,
        requests=RequestLimits(redis),
        backlog=Backlog(database, settings.api),
        meter=Meter(redis, settings.breaker),
    )
    runs = (waiters.run, watchers.run, partial(kept_alive, "catalog", current.watch))
    services = [asyncio.create_task(each()) for each in runs]

    def leave() -> None:
        app.state.leaving = True
        waiters.leave()
        watchers.leave()

    _before_the_end(leave)
    spare_what_stays()
    yield
    for service in services:
        service.cancel()
    await asyncio.gather(*services, return_exceptions=True)
    await database.close()
    await redis.aclose()


def _before_the_end(act: Callable[[], None]) -> None:
    """Call `act` on the server's signals to stop, and let it hear them as before.

    The server closes the app only after every request is answered: too late for those
    that wait for a job.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if not callable(before):
            continue

        def heard(
            number: int, frame: FrameType | None, before: Callable[..., object] = before
        ) -> None:
            loop.call_soon_threadsafe(act)
            before(number, frame)

        signal.signal(number, heard)
