"""The COMMIT of a submission whose reply is lost: an error now, one job with a key."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from api.main import create_app
from shared.db.engine import Database
from shared.settings import read_settings
from tests.api.conftest import job_body, make_key
from tests.db.books import check_books
from tests.life import Life
from tests.wire import EITHER_END, Wire


class Client:
    """Posts the same job again and again to an API that sees Postgres through the wire."""

    def __init__(self, http: httpx2.AsyncClient, wire: Wire) -> None:
        self.http = http
        self.wire = wire

    async def post(self, replies: str = "", **headers: str) -> Any:
        self.wire.replies = replies
        return await self.http.post("/api/v1/jobs", json=job_body(), headers=headers)


@pytest.fixture
async def client(
    database_url: str,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    wire: Wire,
    lossy: Database,
) -> AsyncIterator[Client]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    key = await make_key(database_url, "one")
    app = create_app(read_settings())
    headers = {"authorization": f"Bearer {key}"}
    async with app.router.lifespan_context(app):
        app.state.parts = replace(app.state.parts, database=lossy, accepting=lossy, looking=lossy)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://mill", headers=headers
        ) as http:
            yield Client(http, wire)


async def jobs(life: Life) -> list[str]:
    ids: list[str] = (await life.one("SELECT array_agg(id ORDER BY id) AS ids FROM jobs")).ids
    return ids


@pytest.mark.filterwarnings("ignore:ORJSONResponse")
@EITHER_END
async def test_an_accept_whose_reply_is_lost_is_one_job_when_its_client_repeats(
    life: Life, client: Client, reply: str
) -> None:
    key = {"idempotency-key": "again"}
    lost = await client.post(f"kk{reply}", **key)  # the key, the list of budgets, then the job
    again = await client.post(**key)
    assert lost.status_code == 503, lost.text
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert await jobs(life) == [again.json()["id"]]
    await check_books(life)


@pytest.mark.filterwarnings("ignore:ORJSONResponse")
async def test_without_a_key_a_lost_accept_is_an_error_and_its_repeat_a_second_job(
    life: Life, client: Client
) -> None:
    """Nobody can tell the two apart: that is what the idempotency key is for."""
    lost = await client.post("kkl")
    assert lost.status_code == 503, lost.text
    [first] = await jobs(life)
    again = await client.post()
    assert again.status_code == 202
    assert await jobs(life) == sorted([first, again.json()["id"]])
    await check_books(life)
