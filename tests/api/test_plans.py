"""A job may carry a policy or name a route; `explain` tells what would come of it."""

import asyncio
from typing import Any

import pytest
from redis import Redis

from shared.meters.meter import SENTINEL
from shared.security.keys import Scope
from tests.api.conftest import Api, hire, job_body, make_key


def body(model: str = "gpt-4.1", prompt: str = "Why?", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"request": {"model": model, "messages": messages}, **more}


def explain(api: Api, asked: dict[str, Any], status: int = 200) -> dict[str, Any]:
    with api.client() as client:
        reply = client.post("/api/v1/explain", json=asked)
    assert reply.status_code == status, reply.text
    found: dict[str, Any] = reply.json()
    return found


def submit(api: Api, asked: dict[str, Any], status: int = 202) -> dict[str, Any]:
    with api.client() as client:
        reply = client.post("/api/v1/jobs", json=asked)
    assert reply.status_code == status, reply.text
    found: dict[str, Any] = reply.json()
    return found


def names(listed: list[dict[str, Any]]) -> list[str]:
    return [each["deployment"] for each in listed]


def job_input(api: Api, job_id: str) -> int:
    """The tokens of its row, enough for whoever counts most."""
    [(counted,)] = api.sql("SELECT input_tokens FROM jobs WHERE id = %s", job_id)
    return int(counted)


def test_a_policy_is_stored_with_every_name_looked_up(api: Api) -> None:
    policy = {
        "candidates": ["claude-haiku-4-5"],
        "strategy": "cost",
        "fallbacks": {"context_length": ["grok-4.3"]},
        "max_cost_usd": 0.05,
        "max_tries": 2,
    }
    job = submit(api, body(policy=policy))
    [(stored, route)] = api.sql("SELECT policy, route FROM jobs WHERE id = %s", job["id"])
    inputs = stored.pop("inputs")
    assert inputs["openai/gpt-4.1"] == inputs["azure/gpt-4.1"] < job_input(api, job["id"])
    assert stored == {
        "candidates": ["openai/gpt-4.1", "azure/gpt-4.1", "anthropic/claude-haiku-4-5"],
        "strategy": "cost",
        "fallbacks": {"context_length": ["xai/grok-4.3"]},
        "max_cost_nano": 50_000_000,
        "max_tries": 2,
    }
    assert route.startswith("gpt-4.1#")
    assert job["model"] == "gpt-4.1"


def test_a_plain_job_stores_none(api: Api) -> None:
    job = submit(api, job_body())
    assert api.sql("SELECT policy FROM jobs WHERE id = %s", job["id"]) == [(None,)]


def test_a_route_in_place_of_a_model_chooses_by_what_is_asked(api: Api) -> None:
    hire(api, "simulator")
    job = submit(api, body("smart", "Hello", rehearse=True))
    [(policy, request)] = api.sql(
        "SELECT policy, request FROM jobs JOIN payloads ON job_id = id WHERE id = %s", job["id"]
    )
    assert len(policy["candidates"]) == 3
    assert request["model"] == job["model"]
    assert all(each.startswith("simulator") for each in policy["candidates"])


def test_lines_with_and_without_a_policy_go_together_and_errors_name_the_line(api: Api) -> None:
    good = b'{"request":{"model":"gpt-4.1","messages":[{"role":"user","content":"a"}]}}'
    routed = good.replace(b"gpt-4.1", b"cheap")
    bad = good[:-1] + b',"policy":{"candidates":["gpt-44"]}}'
    with api.client() as client:
        reply = client.post("/api/v1/jobs/bulk", content=good + b"\n" + routed)
        assert reply.json()["accepted"] == 2
        error = client.post("/api/v1/jobs/bulk", content=good + b"\n" + bad).json()["error"]
    assert (error["line"], error["field"]) == (2, "policy.candidates[0]")
    assert api.sql("SELECT count(*) FROM jobs WHERE policy IS NULL") == [(1,)]


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"strategy": "random"}, "policy.strategy"),
        ({"candidates": ["gpt-44"]}, "policy.candidates[0]"),
        ({"lane": "bulk"}, "policy.lane"),
        ({"max_cost_usd": -1}, "policy.max_cost_usd"),
    ],
)
def test_a_mistake_in_a_policy_names_its_field_wherever_it_is_sent(
    api: Api, policy: dict[str, Any], field: str
) -> None:
    for found in (explain(api, body(policy=policy), 400), submit(api, body(policy=policy), 400)):
        assert found["error"]["field"] == field


def test_a_request_that_no_candidate_takes_names_the_requests_field(api: Api) -> None:
    asked = body("claude-opus-5-5", policy={"max_tries": 2})
    asked["request"]["temperature"] = 0.5
    assert explain(api, asked, 400)["error"]["field"] == "request.temperature"


def test_a_job_is_refused_where_no_candidate_can_be_called(api: Api) -> None:
    hire(api, "openai", openai="OPENAI_API_KEY is not set", azure="no address")
    told = submit(api, body(policy={"max_tries": 2}), 409)["error"]
    assert told["code"] == "no_deployment"
    assert "OPENAI_API_KEY is not set" in told["message"]


def test_explain_tells_candidates_with_standing_and_cost(api: Api, redis_url: str) -> None:
    Redis.from_url(redis_url).set(SENTINEL, 1)
    hire(api, "anthropic", "azure", openai="OPENAI_API_KEY is not set")
    policy = {"candidates": ["claude-haiku-4-5"], "fallbacks": {"default": ["sonar"]}}
    plan = explain(api, body(policy=policy))
    assert names(plan["candidates"]) == [
        "openai/gpt-4.1", "azure/gpt-4.1", "anthropic/claude-haiku-4-5",
    ]  # fmt: skip
    first, second, third = plan["candidates"]
    assert first["standing"]["callable"] is False
    assert first["standing"]["why_not"] == "OPENAI_API_KEY is not set"
    assert second["standing"]["callable"] is True
    assert (second["standing"]["breaker"], second["standing"]["room"]) == ("closed", True)
    assert second["standing"]["limits"]["requests"] == 1000
    assert plan["next"] == "azure/gpt-4.1"
    assert third["worst_case"]["nano_usd"] > 0
    assert names(plan["fallbacks"]["default"]) == ["perplexity/sonar"]
    assert plan["policy"] == policy
    assert api.sql("SELECT count(*) FROM jobs") == [(0,)]


def test_explain_tells_the_classifiers_verdict_and_who_was_passed_over(api: Api) -> None:
    hire(api, "openai", "azure", xai="GROK_API_KEY is not set")
    plan = explain(api, body("smart", "Prove it step by step."))
    assert plan["complexity"]["complexity"] == "COMPLEX"
    assert {"name": "mathematics", "points": 3} in plan["complexity"]["signals"]
    assert "xai" not in {each["provider"] for each in plan["candidates"]}
    assert "it has no credential, or is switched off" in [e["reason"] for e in plan["refused"]]


def test_explain_puts_candidates_in_the_order_of_the_strategy(api: Api) -> None:
    dear_first = {"candidates": ["claude-opus-5-5", "claude-haiku-4-5"], "strategy": "cost"}
    plan = explain(api, body("claude-opus-5-5", policy=dear_first))
    assert names(plan["candidates"])[0] == "anthropic/claude-haiku-4-5"
    weighted = {
        "candidates": ["claude-opus-5-5", "claude-haiku-4-5"],
        "strategy": "weighted",
        "weights": {"claude-haiku-4-5": 3},
    }
    plan = explain(api, body("claude-opus-5-5", policy=weighted))
    assert [each["weight"] for each in plan["candidates"]] == [3, 1]


def test_explain_tells_of_a_plain_job_too(api: Api) -> None:
    plan = explain(api, job_body())
    assert names(plan["candidates"]) == ["openai/gpt-4.1-mini", "azure/gpt-4.1-mini"]
    assert (plan["complexity"], plan["policy"], plan["refused"]) == (None, {}, [])
    assert plan["model"] == "gpt-4.1-mini"


def test_a_disabled_provider_is_told_with_who_and_why(api: Api) -> None:
    api.sql("INSERT INTO providers (id, enabled, reason, changed_by) VALUES"
            " ('openai', false, 'the bill', 'key_1')")  # fmt: skip
    plan = explain(api, job_body())
    assert plan["candidates"][0]["standing"]["why_not"] == "disabled by key_1: the bill"


def test_what_redis_knows_is_told_and_its_loss_hides_only_that(api: Api, redis_url: str) -> None:
    hire(api, "openai", "azure")
    redis = Redis.from_url(redis_url)
    redis.set(SENTINEL, 1)
    later = str(10**16)
    redis.hset("pm:breaker:openai/gpt-4.1-mini", mapping={"open_until": later, "opens": "1"})
    plan = explain(api, job_body())
    first = plan["candidates"][0]["standing"]
    assert (first["breaker"], first["room"], first["waits_for"]) == ("open", False, "breaker")
    assert plan["next"] == "azure/gpt-4.1-mini"
    redis.flushall()
    forgotten = explain(api, job_body())["candidates"][0]["standing"]
    assert (forgotten["breaker"], forgotten["room"]) == (None, None)


def test_a_tenants_policy_holds_for_its_jobs_and_nobody_elses(api: Api) -> None:
    usual = {"fallbacks": {"default": ["sonar"]}, "max_cost_usd": "0.5"}
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    with api.client(admin) as client:
        assert client.put("/api/v1/policy", json=usual).json()["policy"] == usual
    with api.client() as client:
        assert client.put("/api/v1/policy", json={}).status_code == 403
        assert client.get("/api/v1/policy").json()["policy"] == usual
    job = submit(api, body(policy={"max_cost_usd": 2}))
    [(stored,)] = api.sql("SELECT policy FROM jobs WHERE id = %s", job["id"])
    assert stored["max_cost_nano"] == 2_000_000_000
    assert stored["fallbacks"] == {"default": ["perplexity/sonar"]}
    plain = submit(api, body())
    [(stored,)] = api.sql("SELECT policy FROM jobs WHERE id = %s", plain["id"])
    assert stored["max_cost_nano"] == 500_000_000
    with api.client(api.other_key) as other:
        theirs = other.post("/api/v1/jobs", json=body()).json()
    assert api.sql("SELECT policy FROM jobs WHERE id = %s", theirs["id"]) == [(None,)]
    with api.client(admin) as client:
        client.delete("/api/v1/policy")
    assert explain(api, body())["policy"] == {}


def test_a_tenants_policy_is_checked_before_it_holds(api: Api) -> None:
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    with api.client(admin) as client:
        for policy, field in (
            ({"candidates": ["gpt-44"]}, "candidates[0]"),
            ({"strategy": "weighted", "weights": {"sonar": 2}}, "weights.sonar"),
            ({"tier": "middle"}, "tier"),
        ):
            assert client.put("/api/v1/policy", json=policy).json()["error"]["field"] == field


def test_the_routes_are_listed_with_their_policies(api: Api) -> None:
    with api.client() as client:
        listed = client.get("/api/v1/routes").json()["data"]
    policies = {each["id"]: each["policy"] for each in listed}
    assert policies["cheap"] == {"complexity": "auto", "prefer": "cost"}


def test_what_is_explained_is_what_is_stored(api: Api) -> None:
    hire(api, "openai", "azure", "anthropic", "gemini")
    asked = body("smart", "Compare tea and coffee.", policy={"fallbacks": {"default": ["sonar"]}})
    plan = explain(api, asked)
    job = submit(api, asked)
    [(stored,)] = api.sql("SELECT policy FROM jobs WHERE id = %s", job["id"])
    assert stored["candidates"] == names(plan["candidates"])
    assert stored["fallbacks"] == {"default": names(plan["fallbacks"]["default"])}
    assert job["model"] == plan["model"]
