"""Callers are held to their own limits: requests a minute, and how much waits."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from api.admission.backlog import Backlog
from api.admission.requests import RequestLimits
from shared.db.backlog import Amount
from shared.db.engine import Database
from shared.db.limits import TenantLimits
from shared.db.tenants import Caller
from shared.domain.errors import AllQueuesFullError, QueueFullError
from shared.redis_client import connect_redis
from shared.security.keys import Scope
from shared.settings import ApiSettings
from tests.api.conftest import Api, job_body, make_key
from tests.life import TENANT, Life, new_job

HEADERS = [f"x-ratelimit-{word}-requests" for word in ("limit", "remaining", "reset")]
CALLER = Caller(
    tenant_id=TENANT,
    tenant_name="a",
    key_id="key_a",
    key_name="test",
    secret_hash=b"",
    scopes=frozenset(),
    expires_at=None,
)


def limited(api: Api, **limits: int) -> None:
    """Set the first tenant's limits, before its key is first used."""
    changes = ", ".join(f"{name} = {value}" for name, value in limits.items())
    api.sql(f"UPDATE tenants SET {changes} WHERE name = 'one'")


def bulk(number: int, **changes: Any) -> bytes:
    return b"\n".join(json.dumps(job_body(f"q {i}", **changes)).encode() for i in range(number))


def jobs_of(api: Api) -> int:
    [(number,)] = api.sql("SELECT count(*) FROM jobs")
    return int(number)


def test_a_tenants_requests_a_minute_are_told_on_every_answer_and_then_refused(api: Api) -> None:
    limited(api, requests_per_minute=4)
    with api.client() as client:
        answers = [
            client.get("/api/v1/jobs"),
            client.get("/api/v1/jobs/job_x"),
            client.post("/api/v1/jobs", json={"nonsense": 1}),
            client.post("/api/v1/jobs", json=job_body()),
            client.get("/api/v1/jobs"),
        ]
    assert [each.status_code for each in answers] == [200, 404, 400, 202, 429]
    assert [each.headers[HEADERS[1]] for each in answers] == ["3", "2", "1", "0", "0"]
    assert {each.headers[HEADERS[0]] for each in answers} == {"4"}
    assert all(0 < float(each.headers[HEADERS[2]].rstrip("s")) <= 60 for each in answers)
    refused = answers[-1]
    assert refused.json()["error"]["code"] == "rate_limited"
    assert 10 <= int(refused.headers["retry-after"]) <= 15


def test_a_key_has_its_own_limit_and_others_are_not_slowed_by_it(api: Api) -> None:
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    wish = {"name": "slow", "requests_per_minute": 1, "max_running": 2}
    with api.client(admin) as client:
        made = client.post("/api/v1/keys", json=wish).json()
        assert (made["requests_per_minute"], made["max_running"]) == (1, 2)
        with api.client(made["key"]) as slow:
            me = slow.get("/api/v1/me")
            assert me.json()["key"]["limits"] == {"max_running": 2, "requests_per_minute": 1}
            assert slow.get("/api/v1/me").status_code == 429
        free = client.get("/api/v1/keys")
    assert free.status_code == 200
    assert not set(HEADERS) & set(free.headers)
    assert free.json()["data"][0]["requests_per_minute"] == 1


async def test_while_redis_is_away_nobody_is_refused_nor_held_up() -> None:
    caller = Caller(
        **{name: getattr(CALLER, name) for name in Caller.__slots__}
        | {"limits": TenantLimits(requests_per_minute=1)}
    )
    redis = connect_redis("redis://127.0.0.1:1/0")
    limits = RequestLimits(redis)
    async with asyncio.timeout(2):
        assert [await limits.take(caller) for _ in range(100)] == [None] * 100
    await redis.aclose()


def test_a_full_queue_refuses_whole_bulks_and_takes_what_fits(api: Api) -> None:
    limited(api, max_queued=10)
    with api.client() as client:
        assert client.post("/api/v1/jobs/bulk", content=bulk(8)).status_code == 202
        refused = client.post("/api/v1/jobs/bulk", content=bulk(3))
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert error["code"] == "queue_full"
        assert "max_queued is 10, 8 jobs wait, and these are 3" in error["message"]
        assert int(refused.headers["retry-after"]) >= 1
        assert jobs_of(api) == 8
        assert client.post("/api/v1/jobs/bulk", content=bulk(2)).status_code == 202
        assert client.post("/api/v1/jobs", json=job_body()).status_code == 429
        too_many = client.post("/api/v1/jobs/bulk", content=bulk(11))
        assert (too_many.status_code, too_many.json()["error"]["field"]) == (413, "body")
        with api.client(api.other_key) as other:
            assert other.post("/api/v1/jobs/bulk", content=bulk(50)).status_code == 202
        [job] = client.get("/api/v1/jobs", params={"limit": 1}).json()["data"]
        assert client.post(f"/api/v1/jobs/{job['id']}/cancel").status_code == 200
        assert retried(client, job_body()).status_code == 202


def retried(client: httpx2.Client, body: Any) -> httpx2.Response:
    """As a client that obeys: room is seen at the next count, a moment later."""
    answer = client.post("/api/v1/jobs", json=body)
    deadline = 20
    while answer.status_code == 429 and deadline:
        deadline -= 1
        answer = client.post("/api/v1/jobs", json=body)
    return answer


def test_the_bytes_of_waiting_requests_are_bounded_too(api: Api) -> None:
    limited(api, max_queued_bytes=20_000)
    with api.client() as client:
        assert client.post("/api/v1/jobs", json=job_body("x" * 9_000)).status_code == 202
        refused = client.post("/api/v1/jobs", json=job_body("x" * 12_000))
        assert refused.status_code == 429
        assert "max_queued_bytes is 20000" in refused.json()["error"]["message"]
        assert client.post("/api/v1/jobs", json=job_body("x" * 9_000)).status_code == 202


def test_what_was_accepted_before_is_found_though_the_queue_is_full(api: Api) -> None:
    limited(api, max_queued=1)
    with api.client() as client:
        first, again, other = (
            client.post("/api/v1/jobs", json=job_body(), headers={"idempotency-key": key})
            for key in "kkl"
        )
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert other.status_code == 429
    assert jobs_of(api) == 1


def test_an_operator_changes_the_limits_of_tenants_and_nobody_else_does(api: Api) -> None:
    operator = asyncio.run(make_key(api.database_url, "two", *Scope))
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    path = "/api/v1/tenants/one/limits"
    with api.client(admin) as client:
        assert client.patch(path, json={"max_queued": 5}).status_code == 403
        assert client.get(path).status_code == 403
    with api.client(operator) as client:
        assert client.patch(path, json={"max_queued": 5, "max_running": 2}).status_code == 200
        changed = client.patch(path, json={"max_running": None}).json()
        assert changed["limits"]["max_queued"] == 5
        assert changed["limits"]["max_running"] is None
        assert client.get(path).json() == changed
        assert client.patch(path, json={"max_queued": 0}).json()["error"]["field"] == "max_queued"
        assert client.get("/api/v1/tenants/nobody/limits").status_code == 404


@pytest.fixture
async def backlog(life: Life) -> Backlog:
    """Of a database where four jobs wait, with room for five in all."""
    await life.accept(*(new_job() for _ in range(4)))
    return Backlog(life.database, ApiSettings(max_queued=5, tenant_max_queued=100))


async def test_the_installation_has_a_bound_of_its_own(backlog: Backlog) -> None:
    async with backlog.place(CALLER, Amount(1, 10), keyed=False) as place:
        place.take(Amount(1, 10))
    with pytest.raises(AllQueuesFullError) as refused:
        async with backlog.place(CALLER, Amount(1, 10), keyed=False):
            pass
    assert "4" not in refused.value.message
    assert refused.value.retry_after >= 1


async def test_callers_at_the_same_moment_get_no_more_room_than_there_is(life: Life) -> None:
    backlog = Backlog(life.database, ApiSettings(tenant_max_queued=20))

    async def submit() -> int:
        try:
            async with backlog.place(CALLER, Amount(1, 1), keyed=False) as place:
                await life.accept(new_job())
                place.take(Amount(1, 1))
        except QueueFullError:
            return 0
        return 1

    async with asyncio.timeout(30):
        taken = await asyncio.gather(*(submit() for _ in range(60)))
    assert sum(taken) == 20
    assert await count_jobs(life.database) == 20


async def test_a_submission_that_fails_leaves_its_place_to_others(life: Life) -> None:
    backlog = Backlog(life.database, ApiSettings(tenant_max_queued=1))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with backlog.place(CALLER, Amount(1, 1), keyed=False):
                raise ZeroDivisionError
    async with backlog.place(CALLER, Amount(1, 1), keyed=False) as place:
        place.take(Amount(1, 1))


async def count_jobs(database: Database) -> int:
    return int((await Life(database).one("SELECT count(*) AS n FROM jobs")).n)
