"""The job resource as its callers see it."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from cli.stack.servers import Servers
from tests.api.conftest import Api, eventually, hire, job_body


def error_of(response: httpx2.Response) -> dict[str, object]:
    """The one error shape, checked."""
    error: dict[str, object] = response.json()["error"]
    assert set(error) == {"code", "message", "field", "line", "request_id"}
    assert error["request_id"] == response.headers["x-request-id"]
    return error


def test_a_job_is_accepted_with_a_location_and_read_back(api: Api) -> None:
    with api.client() as client:
        response = client.post("/api/v1/jobs", json=job_body(metadata={"a": "b"}))
        job = response.json()
        assert (response.status_code, job["state"], job["lane"]) == (202, "queued", "standard")
        assert response.headers["location"] == job["status_url"] == f"/api/v1/jobs/{job['id']}"
        assert client.get(job["status_url"]).json() == job
    [(request,)] = api.sql("SELECT request FROM payloads")
    assert request["max_tokens"] == 1024


def test_a_job_for_later_is_scheduled(api: Api) -> None:
    with api.client() as client:
        job = client.post("/api/v1/jobs", json=job_body(run_at="2126-01-01T00:00:00Z")).json()
    assert (job["state"], job["wait_reason"]) == ("scheduled", "not_before")
    assert job["run_at"] == "2126-01-01T00:00:00Z"


def test_the_same_idempotency_key_a_hundred_times_at_once_is_one_job(api: Api) -> None:
    def post(_: int) -> tuple[int, str]:
        with api.client() as client:
            response = client.post(
                "/api/v1/jobs", json=job_body(), headers={"idempotency-key": "k"}
            )
            return response.status_code, response.json()["id"]

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(post, range(100)))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 202
    assert api.sql("SELECT count(*) FROM jobs") == [(1,)]


def test_an_idempotency_key_with_another_body_is_refused(api: Api) -> None:
    with api.client() as client:
        keyed = {"idempotency-key": "k"}
        client.post("/api/v1/jobs", json=job_body("one"), headers=keyed)
        replay = client.post("/api/v1/jobs", json=job_body("one"), headers=keyed)
        other = client.post("/api/v1/jobs", json=job_body("two"), headers=keyed)
    assert replay.headers["idempotent-replayed"] == "true"
    assert (other.status_code, error_of(other)["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (job_body(lane="fast"), "lane", "interactive"),
        (job_body(unknown=1), "unknown", "not permitted"),
        (job_body("a\x00b"), "request.messages[0].content", "NUL"),
        (job_body(deadline_seconds=0), "deadline_seconds", "greater"),
        (job_body(deadline_seconds="60"), "deadline_seconds", "integer"),
        ({"request": {"model": "gpt4.1-mini", "messages": [{"role": "user", "content": "x"}]}},
         "request.model", "gpt-4.1-mini"),
        ({"request": {"model": "gpt-4.1", "messages": []}}, "request.messages", "at least one"),
        ({"request": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "x"}],
                      "temperature": 0.5}}, "request.temperature", "leave it out"),
        ({"request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}],
                      "max_tokens": 99999}}, "request.max_tokens", "16384"),
        ({"request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "x " * 150_000}],
                      }}, "request.messages", "context window"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name_and_accepts_nothing(
    api: Api, body: dict[str, object], field: str, says: str
) -> None:
    with api.client() as client:
        response = client.post("/api/v1/jobs", json=body)
    error = error_of(response)
    assert (response.status_code, error["field"]) == (400, field), error
    assert says in str(error["message"])
    assert api.sql("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize("body", [b"{", b'{"a": "\\ud800"}', b"\xff", b"[" * 5000, b""])
def test_broken_json_is_a_400(api: Api, body: bytes) -> None:
    with api.client() as client:
        response = client.post("/api/v1/jobs", content=body)
    assert (response.status_code, error_of(response)["field"]) == (400, "body")


def test_a_bulk_with_a_broken_line_57_names_it_and_accepts_nothing(api: Api) -> None:
    lines = [json.dumps(job_body(f"{n}")) for n in range(1, 101)]
    with api.client() as client:
        for broken in ('{"request": ', json.dumps({"request": {"model": "gpt-9"}}),
                       json.dumps(job_body("x\x00"))):  # fmt: skip
            lines[56] = broken
            response = client.post("/api/v1/jobs/bulk", content="\n".join(lines))
            assert (response.status_code, error_of(response)["line"]) == (400, 57)
    assert api.sql("SELECT count(*) FROM jobs") == [(0,)]


def test_a_bulk_is_accepted_in_order_and_may_be_repeated(api: Api) -> None:
    lines = "\n".join(
        json.dumps(job_body(f"{n}", idempotency_key=f"run:{n}", batch="run")) for n in range(50)
    )
    with api.client() as client:
        first = client.post("/api/v1/jobs/bulk", content=lines).json()
        second = client.post("/api/v1/jobs/bulk", content=lines).json()
        ids = [job["id"] for job in first["jobs"]]
        assert [job["id"] for job in second["jobs"]] == ids == sorted(ids)
        assert {job["replayed"] for job in second["jobs"]} == {True}
        summary = client.get("/api/v1/jobs/summary", params={"batch": "run"}).json()
        assert summary["counts"]["queued"] == 50
        listed: list[str] = []
        params: dict[str, str | int] = {"batch": "run", "limit": 20, "order": "asc"}
        more = True
        while more:
            page = client.get("/api/v1/jobs", params=params).json()
            listed += [job["id"] for job in page["data"]]
            more = page["has_more"]
            params["after"] = page["next"] or ""
    assert listed == ids


def test_lists_filter_by_state_lane_and_model(api: Api) -> None:
    with api.client() as client:
        client.post("/api/v1/jobs", json=job_body(lane="bulk"))
        job = client.post("/api/v1/jobs", json=job_body(lane="interactive", rehearse=True)).json()
        for params, number in (
            ({"lane": "interactive"}, 1), ({"model": "gpt-4.1-mini"}, 2), ({"model": "gpt-4o"}, 0),
            ({"state": "queued"}, 2), ({"state": "failed"}, 0),
        ):  # fmt: skip
            assert len(client.get("/api/v1/jobs", params=params).json()["data"]) == number
        assert client.get("/api/v1/jobs", params={"state": "odd"}).status_code == 400
    assert job["rehearse"] is True


def test_cancel_is_final_at_once_and_a_second_one_changes_nothing(api: Api) -> None:
    with api.client() as client:
        job = client.post("/api/v1/jobs", json=job_body()).json()
        first = client.post(f"{job['status_url']}/cancel")
        again = client.post(f"{job['status_url']}/cancel")
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")


def test_a_final_job_cannot_be_cancelled(api: Api) -> None:
    with api.client() as client:
        job = client.post("/api/v1/jobs", json=job_body()).json()
        api.sql("SET session_replication_role = replica; UPDATE jobs SET state = 'succeeded'")
        response = client.post(f"{job['status_url']}/cancel")
    assert (response.status_code, error_of(response)["code"]) == (409, "conflict")


def test_wait_returns_when_the_job_ends_and_when_the_time_is_out(api: Api) -> None:
    with api.client() as client:
        job = client.post("/api/v1/jobs", json=job_body()).json()
        assert client.get(job["status_url"], params={"wait": 0.1}).json()["state"] == "queued"
        answer: list[str] = []
        waiter = threading.Thread(
            target=lambda: answer.append(
                client.get(job["status_url"], params={"wait": 20}).json()["state"]
            )
        )
        waiter.start()
        client.post(f"{job['status_url']}/cancel")
        waiter.join(10)
    assert answer == ["cancelled"]


def test_a_submission_may_wait_for_its_answer(api: Api) -> None:
    with api.client() as client:
        late = client.post("/api/v1/jobs", json=job_body(), params={"wait": 0.1})
        assert (late.status_code, late.json()["state"]) == (202, "queued")
        replies: list[httpx2.Response] = []
        waiter = threading.Thread(
            target=lambda: replies.append(
                client.post("/api/v1/jobs", json=job_body("Who?"), params={"wait": 20})
            )
        )
        waiter.start()
        jobs = eventually(
            lambda: (found := client.get("/api/v1/jobs").json()["data"])[1:] and found,
            "the second job is there",
        )
        client.post(f"{jobs[0]['status_url']}/cancel")
        waiter.join(10)
    [reply] = replies
    assert (reply.status_code, reply.json()["state"]) == (200, "cancelled")
    assert reply.headers["location"] == jobs[0]["status_url"]


def test_a_model_without_a_key_is_refused_with_the_variable(api: Api) -> None:
    hire(api, openai="OPENAI_API_KEY is not set for the workers", azure="it has no base_url")
    with api.client() as client:
        response = client.post("/api/v1/jobs", json=job_body())
    error = error_of(response)
    assert (response.status_code, error["code"]) == (409, "no_deployment")
    assert "OPENAI_API_KEY" in str(error["message"])


def test_a_body_over_the_cap_is_refused_while_it_streams(api: Api) -> None:
    sent = 0

    def endless() -> object:
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield b"x" * 1_000_000

    with api.client() as client:
        try:
            response = client.post("/api/v1/jobs", content=endless())  # type: ignore[arg-type]
        except httpx2.TransportError:
            return  # the server closed the connection while we were still sending
        assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large")


def test_postgres_away_is_a_503_and_then_all_is_well(api: Api, servers: Servers) -> None:
    with api.client() as client:
        assert client.post("/api/v1/jobs", json=job_body()).status_code == 202
        servers.kill_postgres()
        try:
            away = client.post("/api/v1/jobs", json=job_body())
        finally:
            servers.start_postgres()
        assert away.status_code == 503
        assert away.headers["retry-after"]
        eventually(
            lambda: client.post("/api/v1/jobs", json=job_body()).status_code == 202, "it recovers"
        )
    assert api.sql("SELECT count(*) FROM jobs") == [(2,)]


def test_a_frozen_redis_holds_up_no_submission(api: Api, servers: Servers) -> None:
    servers.pause_valkey()
    try:
        with api.client() as client:
            began = time.monotonic()
            codes = {client.post("/api/v1/jobs", json=job_body()).status_code for _ in range(20)}
            took = time.monotonic() - began
            ready = client.get("/readyz")
    finally:
        servers.resume_valkey()
    assert codes == {202}
    # Twenty in turn, each held up by the bell, would take 5 s.
    assert took < 4
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")


def test_a_list_can_begin_at_a_moment(api: Api) -> None:
    with api.client() as client:
        client.post("/api/v1/jobs", json=job_body())
        now = api.sql("SELECT clock_timestamp()")[0][0]
        later = client.post("/api/v1/jobs", json=job_body()).json()["id"]
        found = client.get("/api/v1/jobs", params={"since": now.isoformat()}).json()["data"]
        naive = client.get("/api/v1/jobs", params={"since": "2026-01-01T00:00:00"})
    assert [job["id"] for job in found] == [later]
    assert (naive.status_code, naive.json()["error"]["field"]) == (400, "since")
