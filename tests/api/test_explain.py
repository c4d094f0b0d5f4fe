"""`why` tells what a job waits for, what goes before it, and each attempt so far."""

from typing import Any

import redis

from shared.meters.meter import SENTINEL
from tests.api.conftest import Api, hire, job_body


def why(api: Api, job_id: str) -> dict[str, Any]:
    with api.client() as client:
        reply = client.get(f"/api/v1/jobs/{job_id}/why")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_a_waiting_job_tells_its_reason_and_its_place(api: Api) -> None:
    with api.client() as client:
        later = client.post("/api/v1/jobs", json=job_body(run_at="2099-01-01T00:00:00Z")).json()
        ids = [client.post("/api/v1/jobs", json=job_body()).json()["id"] for _ in range(3)]
        client.post("/api/v1/jobs", json=job_body(lane="interactive"))
        client.post("/api/v1/jobs", json=job_body(lane="bulk"))
    with api.client(api.other_key) as other:
        other.post("/api/v1/jobs", json=job_body())
    scheduled = why(api, later["id"])["waiting"]
    assert (scheduled["reason"], scheduled["until"]) == ("not_before", "2099-01-01T00:00:00Z")
    waiting = why(api, ids[2])["waiting"]
    assert (waiting["reason"], waiting["ahead"], waiting["other_tenants"]) == ("no_worker", 3, 1)
    assert waiting["deployment"] == "openai/gpt-4.1-mini"


def test_a_job_of_a_caller_with_all_its_calls_in_flight_says_so(api: Api) -> None:
    with api.client() as client:
        ids = [client.post("/api/v1/jobs", json=job_body()).json()["id"] for _ in range(2)]
    api.sql("UPDATE tenants SET max_running = 1 WHERE name = 'one'")
    assert why(api, ids[1])["waiting"]["reason"] == "no_worker"
    api.sql(
        "INSERT INTO attempts (id, job_id, tenant_id, epoch, deployment, queue, state,"
        " permit_tokens, hold_nano) SELECT 'att_1', id, tenant_id, 1, 'openai/gpt-4.1-mini',"
        " 'openai', 'planned', 1, 700 FROM jobs WHERE id = %s",
        ids[0],
    )
    waiting = why(api, ids[1])["waiting"]
    assert waiting["reason"] == "max_running"
    assert waiting["detail"] == "your tenant has 1 calls in flight, and may not have more"


def test_the_limit_that_binds_is_told_with_its_end_and_the_turns_time(
    api: Api, redis_url: str
) -> None:
    hire(api, "openai")
    with api.client() as client:
        ids = [client.post("/api/v1/jobs", json=job_body()).json()["id"] for _ in range(3)]
    with redis.Redis.from_url(redis_url) as memory:
        assert why(api, ids[2])["waiting"]["reason"] == "no_meter", "nobody rebuilt its memory yet"
        # It was emptied just now: the last window counts as used up.
        seconds, micros = memory.time()
        memory.set(SENTINEL, seconds * 1_000_000 + micros)
        waiting = why(api, ids[2])["waiting"]
        assert (waiting["reason"], waiting["limit"]) in {("rate", "requests"), ("rate", "tokens")}
        assert waiting["until"] > why(api, ids[2])["created_at"]
        assert (waiting["ahead"], waiting["limits"]["requests"]) == (2, 5000)
        eta = waiting["eta"]
        assert 0 < eta["seconds"] < 60
        assert eta["basis"].startswith("about 2 jobs go first; their limits allow ")
        clock = seconds * 1_000_000 + micros
        memory.hset("pm:meter:openai/gpt-4.1-mini", "blocked_until", clock + 60_000_000)
        resting = why(api, ids[0])["waiting"]
        assert (resting["reason"], resting["limit"]) == ("rest", None)
        assert 50 < resting["eta"]["seconds"] < 60


def test_a_job_with_a_policy_tells_who_else_may_take_it(api: Api) -> None:
    hire(api, "openai", "anthropic")
    names = ["claude-sonnet-5-5", "gpt-4.1-mini", "grok-4.7"]
    with api.client() as client:
        job = client.post("/api/v1/jobs", json=job_body(policy={"candidates": names})).json()
        listed = client.get("/api/v1/jobs", params={"model": "claude-sonnet-5-5"}).json()["data"]
    assert (job["model"], [each["id"] for each in listed]) == ("claude-sonnet-5-5", [job["id"]])
    waiting = why(api, job["id"])["waiting"]
    assert waiting["deployment"] == "anthropic/claude-sonnet-5-5"
    assert waiting["candidates"] == ["openai/gpt-4.1-mini"]


def test_each_attempt_stands_in_the_timeline_with_its_end_and_cost(api: Api) -> None:
    with api.client() as client:
        job_id = client.post("/api/v1/jobs", json=job_body()).json()["id"]
    api.sql(
        "INSERT INTO attempts (id, job_id, tenant_id, epoch, deployment, queue, state,"
        " permit_tokens, hold_nano) SELECT 'att_1', id, tenant_id, 1, 'openai/gpt-4.1-mini',"
        " 'openai', 'planned', 1, 700 FROM jobs"
    )
    api.sql("UPDATE attempts SET state = 'sent', sent_at = clock_timestamp()")
    api.sql(
        "UPDATE attempts SET state = 'unknown', cost_nano = 700, failure_kind = 'timeout',"
        " error = 'no answer', ended_at = clock_timestamp()"
    )
    [attempt] = why(api, job_id)["attempts"]
    assert (attempt["state"], attempt["error"]["kind"]) == ("unknown", "timeout")
    assert attempt["cost"] == {"nano_usd": 700, "usd": "0.0000007", "unknown": True}


def test_a_job_that_has_ended_waits_for_nothing(api: Api) -> None:
    with api.client() as client:
        job_id = client.post("/api/v1/jobs", json=job_body()).json()["id"]
        client.post(f"/api/v1/jobs/{job_id}/cancel")
    found = why(api, job_id)
    with api.client() as client:
        job = client.get(f"/api/v1/jobs/{job_id}", params={"include": "why"}).json()
        plain = client.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["object"], job["waiting"], job["attempts"]) == ("job", None, [])
    assert {name: each for name, each in job.items() if name in plain} == plain
    assert (found["state"], found["waiting"], found["attempts"]) == ("cancelled", None, [])
    assert found["error"]["kind"] == "cancelled"
