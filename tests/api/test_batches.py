"""The engine of batches where something is in its way: full queues, budgets, time, lost steps."""

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest

from tests.api.conftest import MODEL, Api, eventually, hire

OVER = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture(scope="module")
def api_settings() -> dict[str, str]:
    return {"PROMPTMILL_API__MAX_BATCH_LINES": "3000"}


@pytest.fixture
def openai(api: Api) -> Api:
    """An API with a worker that can call OpenAI, and never does."""
    hire(api, "openai", azure="no key")
    return api


def line(number: int, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"question {number}"}]
    request = {"model": MODEL, "messages": messages, "max_tokens": 9}
    return {"custom_id": f"c-{number}", "request": request, **more}


def start(api: Api, lines: Sequence[Any], **asked: Any) -> dict[str, Any]:
    """A native batch of these lines, as it is told at once."""
    body = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    with api.client() as client:
        reply = client.post("/api/v1/batches/lines", content=body, params=asked)
    assert reply.status_code == 202, reply.text
    found: dict[str, Any] = reply.json()
    return found


def get(api: Api, batch_id: str, rest: str = "") -> httpx2.Response:
    with api.client() as client:
        return client.get(f"/api/v1/batches/{batch_id}{rest}")


def in_state(api: Api, batch_id: str, *states: str, within: float = 60.0) -> dict[str, Any]:
    """The batch, once it is in one of them."""

    def reached() -> Any:
        batch = get(api, batch_id).json()
        return batch if batch["state"] in states else None

    found: dict[str, Any] = eventually(reached, f"the batch is {states}", within=within)
    return found


def registered(api: Api, batch_id: str) -> int:
    count: int = get(api, batch_id).json()["counts"]["registered"]
    return count


def results(api: Api, batch_id: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in get(api, batch_id, "/results").text.splitlines()]


def test_where_the_queue_is_full_the_rest_follows_later(openai: Api) -> None:
    openai.sql("UPDATE tenants SET max_queued = 100")
    batch = start(openai, [line(number) for number in range(250)])
    eventually(lambda: 0 < registered(openai, batch["id"]) <= 100, "some are jobs", within=60)
    assert get(openai, batch["id"]).json()["state"] == "in_progress"
    openai.sql("UPDATE tenants SET max_queued = NULL")
    eventually(lambda: registered(openai, batch["id"]) == 250, "all are jobs", within=60)
    [[jobs]] = openai.sql("SELECT count(*) FROM jobs WHERE batch = %s", batch["id"])
    assert jobs == 250


def test_a_budget_without_room_for_any_line_fails_the_batch(openai: Api) -> None:
    batch = start(openai, [line(1), line(2)], max_cost="0.000000001")
    done = in_state(openai, batch["id"], *OVER)
    [error] = done["errors"]
    assert (done["state"], error["code"]) == ("failed", "budget_exceeded")
    assert "batch" in error["message"]
    assert done["output_file_id"] is None
    assert openai.sql("SELECT count(*) FROM jobs") == [(0,)]
    assert openai.sql("SELECT type, told_at FROM events WHERE job_id = %s", batch["id"]) == [
        ("batch.failed", None)
    ]


def test_a_budget_that_rejects_midway_leaves_the_rest_out_and_keeps_what_is_begun(
    openai: Api, operator: str
) -> None:
    budget = {"name": "dear", "scope": "tag", "subject": "dear", "cap_usd": "0.000000001"}
    with openai.client(operator) as client:
        assert client.post("/api/v1/budgets", json=budget).status_code == 201
    plain = [line(number) for number in range(1_000)]
    batch = start(openai, [*plain, line(1_000, tags=["dear"])])
    eventually(lambda: get(openai, batch["id"]).json()["errors"], "it stopped", within=60)
    assert registered(openai, batch["id"]) == 1_000
    openai.sql("UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE state = 'queued'")
    done = in_state(openai, batch["id"], *OVER)
    assert (done["state"], done["counts"]["failed"]) == ("completed", 1)
    last = results(openai, batch["id"])[-1]
    assert (last["custom_id"], last["line"], last["job_id"]) == ("c-1000", 1_001, None)
    assert last["error"]["kind"] == "budget_exceeded"


def test_a_batch_expires_with_all_its_lines_told_where_nobody_works(openai: Api) -> None:
    batch = start(openai, [line(number) for number in range(300)], completion_window="3s")
    done = in_state(openai, batch["id"], *OVER)
    assert (done["state"], done["counts"]["expired"]) == ("expired", 300)
    told = results(openai, batch["id"])
    assert [each["custom_id"] for each in told] == [f"c-{number}" for number in range(300)]
    assert {each["state"] for each in told} == {"expired"}
    assert openai.sql("SELECT type FROM events WHERE job_id = %s", batch["id"]) == [
        ("batch.expired",)
    ]
    assert openai.sql("SELECT DISTINCT state FROM jobs") == [("expired",)]


def test_a_registration_that_forgot_how_far_it_was_makes_no_second_job(openai: Api) -> None:
    batch = start(openai, [line(number) for number in range(1_200)])
    eventually(lambda: registered(openai, batch["id"]) == 1_200, "all are jobs", within=60)
    openai.sql("UPDATE batches SET registered = 0")
    eventually(lambda: registered(openai, batch["id"]) == 1_200, "all are jobs", within=60)
    assert openai.sql("SELECT count(*) FROM jobs") == [(1_200,)]


def test_a_batch_of_a_revoked_key_does_nothing(openai: Api) -> None:
    openai.sql(
        "INSERT INTO batches (id, tenant_id, key_id, dialect, endpoint, state, input_file_id,"
        " window_seconds, options, expires_at, lease_until) SELECT 'batch_1', id, 'key_gone',"
        " 'native', '', 'validating', 'file_1', 60, %s, now() + interval '1 minute', now()"
        " FROM tenants WHERE name = 'one'",
        json.dumps({"window": "60s", "job": {}, "output_seconds": 9}),
    )
    done = in_state(openai, "batch_1", *OVER)
    assert [each["code"] for each in done["errors"]] == ["key_revoked"]


def test_a_cancelled_batch_ends_what_waits_and_says_so_line_by_line(openai: Api) -> None:
    batch = start(openai, [line(number) for number in range(700)])
    eventually(lambda: registered(openai, batch["id"]) == 700, "all are jobs", within=60)
    with openai.client() as client:
        reply = client.post(f"/api/v1/batches/{batch['id']}/cancel")
        assert (reply.status_code, reply.json()["state"]) == (200, "cancelling")
        done = in_state(openai, batch["id"], *OVER)
        assert (done["state"], done["counts"]["cancelled"]) == ("cancelled", 700)
        assert client.post(f"/api/v1/batches/{batch['id']}/cancel").status_code == 200
        listed = client.get("/api/v1/batches").json()
    assert [each["id"] for each in listed["data"]] == [batch["id"]]
    assert len(results(openai, batch["id"])) == 700


def test_a_batch_that_is_cancelled_at_once_has_no_job_left_open(openai: Api) -> None:
    batch = start(openai, [line(number) for number in range(2_500)])
    with openai.client() as client:
        client.post(f"/api/v1/batches/{batch['id']}/cancel")
    done = in_state(openai, batch["id"], *OVER)
    assert done["state"] == "cancelled"
    assert openai.sql("SELECT count(*) FROM jobs WHERE state <> 'cancelled'") == [(0,)]
    told = results(openai, batch["id"])
    assert len(told) == done["counts"]["cancelled"]


def test_the_same_lines_with_the_same_key_are_one_batch_and_one_file(openai: Api) -> None:
    body = json.dumps(line(1)).encode()
    with openai.client() as client:
        made = [
            client.post(
                "/api/v1/batches/lines", content=body, headers={"Idempotency-Key": "once"}
            ).json()
            for _ in range(2)
        ]
        other = client.post(
            "/api/v1/batches/lines", content=body + b" ", headers={"Idempotency-Key": "once"}
        )
    assert made[0]["id"] == made[1]["id"]
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert openai.sql("SELECT count(*) FROM files WHERE purpose = 'batch'") == [(1,)]


def test_the_first_hundred_wrong_lines_are_told(openai: Api) -> None:
    wrong = [line(number, lane="nowhere") for number in range(2_000)]
    done = in_state(openai, start(openai, wrong)["id"], *OVER)
    assert len(done["errors"]) == 100
    assert done["errors"][0] | {"message": ""} == {
        "code": "invalid_request", "param": "lane", "line": 1, "message": "",
    }  # fmt: skip
    assert done["errors"][-1]["code"] == "too_many_errors"


def test_a_file_of_nothing_fails(openai: Api) -> None:
    with openai.client() as client:
        batch = client.post("/api/v1/batches/lines", content=b"\n\n").json()
    done = in_state(openai, batch["id"], *OVER)
    assert [each["code"] for each in done["errors"]] == ["empty_file"]


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("completion_window", {"completion_window": "0h"}),
        ("endpoint", {"endpoint": "/v1/videos"}),
        ("max_cost", {"max_cost": "-1"}),
        ("lane", {"lane": "fast"}),
        ("query.project", {"project": ""}),
    ],
)
def test_a_wrong_wish_is_named(openai: Api, field: str, asked: dict[str, str]) -> None:
    with openai.client() as client:
        reply = client.post("/api/v1/batches/lines", content=b"{}", params=asked)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)
    assert openai.sql("SELECT count(*) FROM batches") == [(0,)]
    assert openai.sql("SELECT count(*) FROM files") == [(0,)]
