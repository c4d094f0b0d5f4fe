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

from api import cors, errors, health, metrics
from api.account import keys
from api.account import limits as tenant_limits
from api.account import routes as account
from api.admission.backlog import Backlog
from api.admission.creates import Creates
from api.admission.requests import RequestLimits
from api.admission.uses import KeyUses
from api.ai import aliases
from api.ai import routes as ai
from api.ai import status as ai_status
from api.anthropic import routes as anthropic
from api.anthropic.batch_schemas import PATH as MESSAGE_BATCHES
from api.batches import routes as batches
from api.batches.services import serve_batches
from api.bodies import Described
from api.budgets import routes as budgets
from api.catalog import models, providers
from api.deps import Parts
from api.jobs import events, explain
from api.jobs import routes as jobs
from api.jobs.wait import Waiters
from api.jobs.watchers import Watchers
from api.middleware import ByteCap, RefusedCreates, RequestIds
from api.openai import batches as openai_batches
from api.openai import files as openai_files
from api.openai import responses, webhook_endpoints
from api.openai import routes as openai
from api.quotes import routes as quotes
from api.receipts import routes as receipts
from api.routing import explain as plans
from api.routing import listed, usual
from api.tokens import routes as tokens
from api.usage import routes as used
from api.webhooks import deliveries
from api.webhooks import routes as webhooks
from shared.collector import spare_what_stays
from shared.configuration import configuration_or_exit, current_catalog
from shared.db.engine import Database, Use
from shared.doorbell import Doorbell
from shared.meters.meter import Meter
from shared.redis_client import connect_redis
from shared.services import kept_alive
from shared.settings import Settings

POOL_SIZE: Final = 5
"""Of each pool."""
USES: Final = (Use(), Use(by_ids=True), Use(by_ids=True, alone=True))
"""For all; to accept jobs; to find them."""
DESCRIPTION: Final = """Give it prompts, get back every answer.

Submit a job, get `202` and a status URL; the job is committed before you read that.
Every request needs `Authorization: Bearer pm_…`. Every error has one shape:
`{"error": {"code", "message", "field", "line", "request_id"}}`; under `/v1` it has that of the API
whose routes these are."""


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
    natives = (ai, ai_status, aliases)
    told = (webhooks, deliveries, webhook_endpoints)
    faces = (openai, responses, anthropic)
    for room in (jobs, events, explain, *faces, *told, *natives, *before, *accounts, *about):
        app.include_router(room.router)
    for room in (batches, openai_files, openai_batches):
        app.include_router(room.router)
    errors.install(app)
    caps = dict.fromkeys((jobs.BULK_PATH, quotes.PATH), settings.api.max_bulk_bytes)
    caps[openai_files.PATH] = settings.api.max_file_bytes + openai_files.ROOM_FOR_FORM
    caps[batches.LINES_PATH] = settings.api.max_batch_bytes
    caps[MESSAGE_BATCHES] = settings.api.max_batch_bytes
    app.add_middleware(RefusedCreates)
    app.add_middleware(ByteCap, caps=caps, otherwise=settings.api.max_body_bytes)
    cors.allow(app, settings.api.origins)
    app.add_middleware(RequestIds)
    return app


def _pool(settings: Settings, use: Use) -> Database:
    url = settings.sqlalchemy_url
    return Database(url, pool_size=POOL_SIZE, name="promptmill-api", use=use)


@asynccontextmanager
async def _lifespan(settings: Settings, app: FastAPI) -> AsyncIterator[None]:
    """Connect, serve, close."""
    current = current_catalog(settings)
    pools = database, accepting, looking = [_pool(settings, use) for use in USES]
    redis = connect_redis(settings.redis_url.get_secret_value())
    doorbell = Doorbell(redis)
    waiters = Waiters(looking, doorbell)
    watchers = Watchers(database, doorbell, redis, most_each=settings.api.max_streams)
    uses, creates = KeyUses(database), Creates(redis)
    app.state.parts = Parts(
        settings=settings,
        current=current,
        database=database,
        accepting=accepting,
        looking=looking,
        doorbell=doorbell,
        waiters=waiters,
        watchers=watchers,
        requests=RequestLimits(redis),
        creates=creates,
        backlog=Backlog(database, settings.api),
        meter=Meter(redis, settings.breaker),
        uses=uses,
    )
    runs = (waiters.run, watchers.run, uses.run, partial(kept_alive, "catalog", current.watch))
    more = partial(serve_batches, app.state.parts), partial(creates.answer_others, doorbell)
    services = [asyncio.create_task(each()) for each in (*runs, *more)]

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
    await asyncio.gather(*(each.close() for each in pools), redis.aclose())


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
