"""A COMMIT whose reply is lost, or a refused statement: repeating is harmless, and is done."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import psycopg.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.main import create_app
from shared.broker.publish import Publisher
from shared.catalog.deployments import load_catalog
from shared.db.engine import Database, is_connection_loss
from shared.db.give_back import give_back_unstarted
from shared.db.leave import Left
from shared.domain.clock import SystemClock
from shared.domain.job import JobState
from shared.meters.meter import Meter
from shared.redis_client import connect_redis
from shared.settings import DispatchSettings, WorkerSettings, read_settings
from tests.api.conftest import job_body, make_key
from tests.db.books import check_books
from tests.db.lossy import Lossy
from tests.life import COST, ROUTE, WORKER, Life, answered, new_job
from worker.dispatch.fleet import Fleet
from worker.dispatch.turn import Means, RouteTurns
from worker.failpoint import Failpoints
from worker.pipeline.finish import Finisher
from worker.pipeline.start import Starter

SETTINGS = WorkerSettings()


class Beating:
    """A heartbeat that is sure of its lease."""

    worker_id = WORKER
    sure = True


@pytest.fixture
async def lossy(database_url: str) -> AsyncIterator[Lossy]:
    database = Lossy(database_url)
    yield database
    await database.close()


def starter(database: Database, in_flight: set[str]) -> Starter:
    return Starter(database, Beating(), in_flight, SETTINGS)  # type: ignore[arg-type]


class Told:
    """Hears of what was finished."""

    def __init__(self) -> None:
        self.left: list[Left] = []

    async def __call__(self, left: Sequence[Left]) -> None:
        self.left += left


def finisher(database: Database) -> Finisher:
    return Finisher(database, SETTINGS, Failpoints(None), Told())


async def test_a_start_whose_reply_is_lost_is_read_back_and_called(
    life: Life, lossy: Lossy
) -> None:
    await life.accept(*(new_job() for _ in range(5)))
    ids = await life.release()
    lossy.replies = "lll"
    started = await starter(lossy, set()).start(ids)
    assert sorted(attempt.attempt_id for attempt in started) == sorted(ids)
    assert {attempt.request["max_tokens"] for attempt in started} == {5}
    await check_books(life)


async def test_a_start_that_is_read_back_leaves_what_flies_already_alone(
    life: Life, lossy: Lossy
) -> None:
    await life.accept(new_job(), new_job())
    ids = await life.release()
    await life.start(ids[:1])
    lossy.replies = "l"
    started = await starter(lossy, {ids[0]}).start(ids)
    assert [attempt.attempt_id for attempt in started] == ids[1:]


async def test_two_messages_of_one_attempt_in_a_lost_batch_start_it_once(
    life: Life, lossy: Lossy
) -> None:
    await life.accept(new_job())
    ids = await life.release()
    lossy.replies = "l"
    desk = starter(lossy, set())
    groups = await asyncio.gather(*(desk.start(ids) for _ in range(5)))
    assert [attempt.attempt_id for group in groups for attempt in group] == ids


async def test_a_finish_whose_reply_is_lost_records_nothing_twice(life: Life, lossy: Lossy) -> None:
    attempts = await life.started(*(new_job() for _ in range(20)))
    lossy.replies = "ll"
    desk = finisher(lossy)
    await asyncio.gather(*(desk.finish(answered(attempt)) for attempt in attempts))
    assert await life.money() == (20 * COST, 0)
    assert (await life.one("SELECT count(*) AS n FROM results")).n == 20
    await check_books(life)


@pytest.mark.parametrize(
    "refusal",
    [
        psycopg.errors.DeadlockDetected,
        psycopg.errors.SerializationFailure,
        psycopg.errors.LockNotAvailable,
        psycopg.errors.QueryCanceled,
        psycopg.errors.AdminShutdown,
        psycopg.errors.DiskFull,
    ],
)
async def test_a_statement_that_another_one_upset_is_repeated(
    life: Life, lossy: Lossy, refusal: type[psycopg.Error]
) -> None:
    await life.accept(new_job())
    ids = await life.release()
    lossy.refusals = [refusal, refusal]
    [attempt] = await starter(lossy, set()).start(ids)
    lossy.refusals = [refusal, refusal]
    await finisher(lossy).finish(answered(attempt))
    assert (await life.job(attempt.job_id)).state == JobState.SUCCEEDED
    await check_books(life)


async def test_a_real_deadlock_is_repeated_until_both_are_through(life: Life) -> None:
    """Postgres ends one of two that lock two jobs crosswise; nobody notices."""
    first, second = await life.started(new_job(), new_job())
    desk = finisher(life.database)
    lock = text("SELECT id FROM jobs WHERE id = :id FOR UPDATE")
    low, high = sorted([first.job_id, second.job_id])
    async with life.database.transaction() as connection:
        await connection.execute(text("SET LOCAL deadlock_timeout = '10s'"))
        await connection.execute(lock, {"id": high})
        both = asyncio.gather(desk.finish(answered(first)), desk.finish(answered(second)))
        waits = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        async with asyncio.timeout(10):
            while not (await life.one(waits)).n:
                await asyncio.sleep(0.01)
        await connection.execute(lock, {"id": low})
    await both
    assert await life.money() == (2 * COST, 0)


def test_a_pool_without_a_free_connection_is_waited_for() -> None:
    """Else the answers of a whole batch are lost for a pause of the database."""
    assert is_connection_loss(PoolTimeoutError("QueuePool limit of size 8 reached"))


async def test_a_row_that_postgres_cannot_take_in_is_no_lost_connection(life: Life) -> None:
    attempts = await life.started(*(new_job() for _ in range(3)))
    deep = "[" * 100_000 + "]" * 100_000
    reports = [answered(attempt) for attempt in attempts]
    reports[1] = answered(attempts[1], result=deep)
    desk = finisher(life.database)
    async with asyncio.timeout(20):
        await asyncio.gather(*(desk.finish(report) for report in reports))
    states = [(await life.job(attempt.job_id)).state for attempt in attempts]
    assert states == [JobState.SUCCEEDED, JobState.FAILED, JobState.SUCCEEDED]
    assert await life.money() == (3 * COST, 0)
    await check_books(life)


async def test_a_row_that_no_form_saves_keeps_no_other_waiting(life: Life) -> None:
    attempts = await life.started(*(new_job() for _ in range(3)))
    reports = [answered(attempt) for attempt in attempts]
    reports[1] = answered(attempts[1], cost_nano=2**70)
    desk = finisher(life.database)
    await asyncio.gather(*(desk.finish(report) for report in reports))
    states = [(await life.job(attempt.job_id)).state for attempt in attempts]
    assert states == [JobState.SUCCEEDED, JobState.RUNNING, JobState.SUCCEEDED]
    await check_books(life)


async def test_a_release_whose_reply_is_lost_is_found_unstarted_and_given_back(
    life: Life, lossy: Lossy, redis_url: str, tmp_path: Path
) -> None:
    await life.accept(*(new_job() for _ in range(4)))
    overlay = tmp_path / "catalog.toml"
    overlay.write_text("[limits.openai]\nrequests = 0\ntokens = 0\n")
    redis = connect_redis(redis_url)
    meter, publisher = Meter(redis), Publisher(redis_url)
    await meter.rebuild([])
    fleet = Fleet()
    async with life.database.transaction() as connection:
        await fleet.count(connection)
    means = Means(
        database=lossy,
        catalog=load_catalog(overlay),
        meter=meter,
        fleet=fleet,
        publisher=publisher,
        clock=SystemClock(),
        settings=DispatchSettings(),
        failpoints=Failpoints(None),
    )
    lossy.replies = "kl"  # the peek, then the release
    with pytest.raises(OperationalError):
        await RouteTurns(ROUTE, means).take()
    assert await redis.llen("openai") == await redis.zcard("pm:fleet:openai") == 0
    assert (await life.money())[1] > 0, "the attempts are there, planned"
    assert (await RouteTurns(ROUTE, means).take()).due == 0
    async with life.database.transaction() as connection:
        assert len(await give_back_unstarted(connection, older_than_seconds=0)) == 4
    await check_books(life)
    assert (await RouteTurns(ROUTE, means).take()).released == 4
    await publisher.close()
    await redis.aclose()


@pytest.mark.filterwarnings("ignore:ORJSONResponse")
async def test_an_accept_whose_reply_is_lost_is_one_job_when_its_client_repeats(
    database_url: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    key = await make_key(database_url, "one")
    app = create_app(read_settings())
    headers = {"authorization": f"Bearer {key}", "idempotency-key": "again"}
    lossy = Lossy(database_url)
    async with app.router.lifespan_context(app):
        app.state.parts = replace(app.state.parts, database=lossy)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://mill") as client:
            lossy.replies = "kl"  # the key, then the job
            lost = await client.post("/api/v1/jobs", json=job_body(), headers=headers)
            again = await client.post("/api/v1/jobs", json=job_body(), headers=headers)
    assert lost.status_code == 503, lost.text
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    life = Life(lossy)
    assert (await life.one("SELECT count(*) AS n, min(id) AS id FROM jobs")) == (
        1,
        again.json()["id"],
    )
    await check_books(life)
    await lossy.close()
