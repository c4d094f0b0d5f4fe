"""Who can be called, who not and why: over HTTP, with a switch for admins."""

import asyncio
from typing import Any

from cli.stack.servers import Servers
from shared.domain.failure import Blame
from shared.meters.meter import Meter
from shared.redis_client import connect_redis
from shared.security.keys import Scope
from tests.api.conftest import Api, eventually, hire, job_body, make_key

OURS = """
[providers.ours]
adapter = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["ours-1"]
"""
UNSET = "OPENAI_API_KEY is not set for the workers"


def report(api: Api, *, ready: bool) -> None:
    """A living worker that has, or has not, a key of OpenAI; it has none of Azure."""
    if ready:
        hire(api, "openai", azure="no address")
    else:
        hire(api, azure="no address", openai=UNSET)


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
    assert openai["why_not"] == "no worker is running that takes the queue 'openai'"
    assert openai["variables"] == ["OPENAI_API_KEY"]
    assert openai["health"]["state"] == "unknown"
    mini = next(each for each in models if each["id"] == "gpt-4.1-mini")
    assert mini["callable"] is None
    assert mini["aliases"] == ["default"]
    assert {"vision", "tools"} <= set(mini["capabilities"])
    first, second = mini["deployments"]
    assert (first["id"], second["id"]) == ("openai/gpt-4.1-mini", "azure/gpt-4.1-mini")
    assert (mini["tier"], mini["context_window"], mini["max_output"]) == (
        "medium", 1_047_576, 32_768,
    )  # fmt: skip
    prices = first["prices"]
    assert (prices["input"], prices["cached_input"], prices["output"]) == ("0.4", "0.1", "1.6")
    assert prices == second["prices"]
    assert prices["in_words"].startswith("input 0.4, cached 0.1, output 1.6, search 10; USD")


def test_one_worker_without_a_key_takes_nothing_from_another_that_has_it(api: Api) -> None:
    hire(api, "openai", name="wrk_with")
    hire(api, "gemini", name="wrk_without", openai=UNSET, anthropic="no key")
    with api.client() as client:
        found = {each: provider(client, each) for each in ("openai", "anthropic", "azure")}
        assert client.post("/api/v1/jobs", json=job_body()).status_code == 202
    assert (found["openai"]["callable"], found["openai"]["why_not"]) == (True, None)
    assert (found["anthropic"]["callable"], found["anthropic"]["why_not"]) == (False, "no key")
    assert found["azure"]["callable"] is None
    # When the one goes, the other is the only one to say anything.
    api.sql("UPDATE workers SET state = 'stopped' WHERE id = 'wrk_with'")
    with api.client() as client:
        assert provider(client, "openai")["why_not"] == UNSET
    api.sql("UPDATE workers SET state = 'stopped'")
    with api.client() as client:
        assert provider(client, "openai")["callable"] is None
        assert client.post("/api/v1/jobs", json=job_body()).status_code == 202


def test_only_operators_read_addresses(api: Api) -> None:
    operator = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN, Scope.OPERATOR))
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    with api.client(operator) as one, api.client(admin) as other:
        assert provider(one, "openai")["base_url"] == "https://api.openai.com/v1"
        assert provider(other, "openai")["base_url"] is None


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
            "no_deployment",
            f"no address; provider openai is disabled by key_{admin.split('_')[2]}: unpaid",
        )  # fmt: skip
        models = plain.get("/api/v1/models").json()["data"]
        assert [each["callable"] for each in models if each["id"] == "gpt-4.1-mini"] == [False]
        on = client.post(f"{path}/enable").json()
        assert (on["enabled"], on["callable"], on["disabled"], on["why_not"]) == (
            True, True, None, None,
        )  # fmt: skip
        waiting = plain.get(f"{job.json()['status_url']}/why").json()["waiting"]
        assert waiting["deployment"] == "openai/gpt-4.1-mini"


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


async def fail(redis_url: str, deployment: str) -> None:
    """Ten calls of it have failed."""
    redis = connect_redis(redis_url)
    await Meter(redis).rebuild([], outcomes={deployment: [Blame.FAILED] * 10})
    await redis.aclose()


def test_a_model_whose_calls_failed_too_often_is_shown_with_its_rest(
    api: Api, servers: Servers
) -> None:
    asyncio.run(fail(servers.redis_url, "openai/gpt-4.1-mini"))
    with api.client() as client:
        [resting] = provider(client, "openai")["resting"]
        assert provider(client, "anthropic")["resting"] == []
    assert (resting["model"], resting["state"]) == ("gpt-4.1-mini", "open")
    assert 5 < resting["seconds"] <= 12


def test_a_changed_catalog_is_taken_and_a_broken_one_is_not(api: Api) -> None:
    operator = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN, Scope.OPERATOR))
    with api.client() as plain, api.client(operator) as client:

        def refresh() -> tuple[int, Any]:
            reply = client.post("/api/v1/providers/refresh")
            return reply.status_code, reply.json()

        def named(model: str) -> bool:
            listed = client.get("/api/v1/models").json()["data"]
            return any(each["id"] == model for each in listed)

        assert plain.post("/api/v1/providers/refresh").status_code == 403
        code, before = refresh()
        assert (code, before["changed"], before["overlay"]) == (200, False, str(api.catalog))
        api.catalog.write_text(OURS)
        code, after = refresh()
        assert (code, after["changed"]) == (200, True)
        assert (after["providers"], after["models"]) == (
            before["providers"] + 1, before["models"] + 1,
        )  # fmt: skip
        assert provider(client, "ours")["models"] == ["ours-1"]
        api.catalog.write_text(OURS.replace("adapter", "adaptor"))
        code, told = refresh()
        assert (code, told["error"]["code"]) == (409, "conflict")
        assert "[providers.ours] has an unknown setting 'adaptor'" in told["error"]["message"]
        assert named("ours-1")
        # Without a word, too; a model that went leaves its jobs where they are.
        job = {"request": {"model": "ours-1", "messages": [{"role": "user", "content": "Why?"}]}}
        accepted = plain.post("/api/v1/jobs", json=job).json()
        api.catalog.write_text("")
        eventually(lambda: not named("ours-1"), "the file is seen", within=10)
        why = plain.get(f"{accepted['status_url']}/why").json()
        assert (why["state"], why["waiting"]["reason"], why["waiting"]["detail"]) == (
            "queued", "no_deployment", "no provider of the catalog serves it",
        )  # fmt: skip
        assert plain.post("/api/v1/jobs", json=job).json()["error"]["code"] == "unknown_model"


def test_nobody_checks_without_a_worker(api: Api) -> None:
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN, Scope.OPERATOR))
    with api.client(admin) as client:
        reply = client.post("/api/v1/providers/openai/check")
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conflict")
