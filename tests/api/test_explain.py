"""`why` tells what a job waits for, what goes before it, and each attempt so far."""

from typing import Any

from tests.api.conftest import Api, job_body


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
    assert (found["state"], found["waiting"], found["attempts"]) == ("cancelled", None, [])
    assert found["error"]["kind"] == "cancelled"
