"""Who can be called, who not and why: over HTTP, with a switch for admins."""

import asyncio
from typing import Any

from shared.security.keys import Scope
from tests.api.conftest import Api, job_body, make_key

UNSET = "OPENAI_API_KEY is not set for the workers"


def report(api: Api, *, ready: bool) -> None:
    """A living worker that has, or has not, a key of OpenAI; it has none of Azure."""
    api.sql(
        "INSERT INTO workers (id, host, pid, queues, capacity, state, lease_until) VALUES"
        " ('wrk_1', 'h', 1, '{openai}', 9, 'alive', clock_timestamp() + interval '1 hour')"
    )
    api.sql(
        "INSERT INTO deployments SELECT 'openai/' || model, %s, %s"
        " FROM unnest('{gpt-4.1,gpt-4.1-mini}'::text[]) AS model",
        ready,
        None if ready else UNSET,
    )
    api.sql("INSERT INTO deployments VALUES ('azure/gpt-4.1-mini', false, 'no address')")


def provider(client: Any, provider_id: str) -> dict[str, Any]:
    listed = client.get("/api/v1/providers")
    assert listed.status_code == 200, listed.text
    [found] = [each for each in listed.json()["data"] if each["id"] == provider_id]
    return dict(found)


def test_nobody_says_who_can_be_called_while_no_worker_lives(api: Api) -> None:
    with api.client() as client:
        openai = provider(client, "openai")
        models = client.get("/api/v1/models").json()["data"]
    assert (openai["callable"], openai["enabled"]) == (None, True)
    assert openai["why_not"] == "no worker is running that could call it"
    assert openai["variables"] == ["OPENAI_API_KEY"]
    assert openai["health"]["state"] == "unknown"
    mini = next(each for each in models if each["id"] == "gpt-4.1-mini")
    assert mini["callable"] is None
    assert mini["aliases"] == ["default"]
    assert {"vision", "tools"} <= set(mini["capabilities"])
    assert [each["id"] for each in mini["deployments"]] == [
        "openai/gpt-4.1-mini", "azure/gpt-4.1-mini",
    ]  # fmt: skip


def test_a_missing_key_is_told_with_its_variable_and_cannot_be_checked(api: Api) -> None:
    report(api, ready=False)
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN, Scope.OPERATOR))
    with api.client(admin) as client:
        openai = provider(client, "openai")
        checked = client.post("/api/v1/providers/openai/check").json()
    assert (openai["callable"], openai["why_not"]) == (False, UNSET)
    assert checked["why_not"] == UNSET
    assert checked["health"]["state"] == "unknown"


def test_an_admin_switches_a_provider_off_and_on_for_all(api: Api) -> None:
    report(api, ready=True)
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN, Scope.OPERATOR))
    path = "/api/v1/providers/openai"
    with api.client() as plain, api.client(admin) as client:
        assert plain.post(f"{path}/disable").status_code == 403
        assert client.post("/api/v1/providers/acme/disable").status_code == 404
        bad = client.post(f"{path}/disable", json={"reason": 5})
        assert (bad.status_code, bad.json()["error"]["field"]) == (400, "reason")
        off = client.post(f"{path}/disable", json={"reason": "unpaid"}).json()
        assert (off["enabled"], off["callable"], off["disabled"]["reason"]) == (
            False, False, "unpaid",
        )  # fmt: skip
        job = plain.post("/api/v1/jobs", json=job_body())
        assert job.status_code == 202, job.text
        waiting = plain.get(f"{job.json()['status_url']}/why").json()["waiting"]
        assert (waiting["reason"], waiting["detail"]) == (
            "no_deployment", "who could take it is disabled or has no credential",
        )  # fmt: skip
        models = plain.get("/api/v1/models").json()["data"]
        assert [each["callable"] for each in models if each["id"] == "gpt-4.1-mini"] == [False]
        on = client.post(f"{path}/enable").json()
        assert (on["enabled"], on["callable"], on["disabled"], on["why_not"]) == (
            True, True, None, None,
        )  # fmt: skip
        assert plain.get(f"{job.json()['status_url']}/why").json()["waiting"]["reason"] == "turn"


def test_a_model_whose_only_provider_is_off_says_by_whom_and_why(api: Api) -> None:
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN, Scope.OPERATOR))
    with api.client(admin) as client:
        client.post("/api/v1/providers/anthropic/disable", json={"reason": "unpaid"})
        body = job_body()
        body["request"]["model"] = "anthropic-low"
        job = client.post("/api/v1/jobs", json=body).json()
        waiting = client.get(f"{job['status_url']}/why").json()["waiting"]
    key_id = f"key_{admin.split('_')[2]}"
    assert job["model"] == "claude-haiku-5-5"
    assert waiting["detail"] == f"provider anthropic is disabled by {key_id}: unpaid"


def test_latencies_are_those_of_the_newest_answered_calls(api: Api) -> None:
    with api.client() as client:
        client.post("/api/v1/jobs", json=job_body())
        api.sql(
            "INSERT INTO attempts (id, job_id, tenant_id, epoch, deployment, queue, state,"
            " permit_tokens, hold_nano) SELECT 'att_' || n, id, tenant_id, n,"
            " 'openai/gpt-4.1-mini', 'openai', 'planned', 1, 700"
            " FROM jobs, generate_series(1, 3) AS n"
        )
        api.sql("UPDATE attempts SET state = 'sent', sent_at = clock_timestamp()")
        api.sql(
            "UPDATE attempts SET state = 'answered', cost_nano = 1, ended_at = clock_timestamp(),"
            " latency_ms = 100 * epoch"
        )
        assert provider(client, "openai")["calls"] == {"count": 3, "median_ms": 200, "p95_ms": 290}
        assert provider(client, "anthropic")["calls"] is None


def test_nobody_checks_without_a_worker(api: Api) -> None:
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN, Scope.OPERATOR))
    with api.client(admin) as client:
        reply = client.post("/api/v1/providers/openai/check")
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conflict")
