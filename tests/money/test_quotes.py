"""A quote names what would be refused and what the rest would cost; nothing is accepted by it."""

import asyncio
import json
from typing import Any

import pytest

from api.quotes.reckon import ENOUGH, GUESSED_PERCENT
from shared.catalog.load import load_catalog
from shared.catalog.pricing import PRICE_VERSION, worst_case
from shared.domain.clock import SystemClock
from shared.security.keys import Scope
from tests.api.conftest import (
    MODEL,
    Api,
    api,
    api_settings,
    eventually,
    hire,
    job_body,
    make_key,
    served,
)

__all__ = ["api", "api_settings", "served"]

PATH = "/api/v1/quote"
LIMITED = """
[limits.openai]
requests = 60
tokens = 0
concurrency = 0
margin = 0.0
[limits.azure]
requests = 0
tokens = 0
"""
PLANNED = """
INSERT INTO attempts (id, job_id, tenant_id, epoch, deployment, queue, state, permit_tokens,
                      hold_nano)
SELECT 'att_' || id, id, tenant_id, 1, %s, 'openai', 'planned', 1, 0 FROM jobs WHERE id = ANY(%s)"""
SENT = "UPDATE attempts SET state = 'sent' WHERE job_id = ANY(%s)"
ANSWERED = "UPDATE attempts SET state = 'answered', usage = %s::jsonb WHERE job_id = ANY(%s)"
RUNNING = "UPDATE jobs SET state = 'running', open_attempt = 'att_' || id WHERE id = ANY(%s)"
DONE = """
UPDATE jobs SET state = 'succeeded', open_attempt = NULL, finished_at = now() WHERE id = ANY(%s)"""
Job = dict[str, Any]


def asked(prompt: str = "Why?", max_tokens: int = 100, model: str = MODEL, **changes: Any) -> Job:
    """A job with a `max_tokens` of its own."""
    body = job_body(prompt, **changes)
    body["request"] |= {"max_tokens": max_tokens, "model": model}
    return body


def quote(api: Api, *jobs: Job | str, **params: Any) -> dict[str, Any]:
    lines = [each if isinstance(each, str) else json.dumps(each) for each in jobs]
    with api.client() as client:
        reply = client.post(PATH, content="\n".join(lines), params=params)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def nano(quoted: dict[str, Any]) -> tuple[int, int, int]:
    """Least, expected, most."""
    price = quoted["price"]
    least, expected, most = (price[name]["nano_usd"] for name in ("least", "expected", "most"))
    return least, expected, most


def test_every_line_that_would_be_refused_is_named_with_its_field(api: Api) -> None:
    found = quote(
        api,
        asked("one"),
        "{not json",
        "",
        asked("two", model="gpt-4.1-minj"),
        asked("three", max_tokens=10_000_000),
        {"request": {"model": MODEL, "messages": []}},
        asked("four", tags=["a"] * 99),
    )
    said = {(each["line"], each["field"]): each["message"] for each in found["rejected"]}
    assert list(said) == [
        (2, "body"),
        (4, "request.model"),
        (5, "request.max_tokens"),
        (6, "request.messages"),
        (7, "tags"),
    ]
    assert "did you mean gpt-4.1-mini" in said[4, "request.model"]
    assert not any(message.startswith("line") for message in said.values())
    assert (found["lines"], found["total"]["lines"]) == (6, 1)


def test_the_most_is_the_sum_of_what_the_dispatcher_would_hold(api: Api) -> None:
    jobs = [asked(f"question {n} " * n, max_tokens=n + 1) for n in range(40)]
    found = quote(api, *jobs)
    with api.client() as client:
        bulk = client.post("/api/v1/jobs/bulk", content="\n".join(map(json.dumps, jobs)))
    assert bulk.status_code == 202, bulk.text
    rows = api.sql("SELECT input_tokens, max_tokens FROM jobs")
    assert found["total"]["input_tokens"] == sum(counted for counted, _ in rows)
    assert found["total"]["output_tokens"]["most"] == sum(most for _, most in rows)
    deployments, at = load_catalog().plan(MODEL), SystemClock().now()
    holds = [
        max(worst_case(d, input_tokens=i, max_tokens=m, at=at) for d in deployments)
        for i, m in rows
    ]
    least, expected, most = nano(found["total"])
    assert most == sum(holds)
    assert 0 < least < expected < most
    [model] = found["models"]
    assert (model["price_version"], model["deployments"]) == (
        PRICE_VERSION,
        [each.id for each in deployments],
    )


def test_a_quote_writes_nothing(api: Api) -> None:
    quote(api, asked(idempotency_key="k"), asked(batch="b", project="p", tags=["t"]))
    with api.client() as client:
        assert client.post(PATH, json=asked()).json()["lines"] == 1
    for table in ("jobs", "payloads", "idempotency_keys", "attempts", "ledger", "budgets"):
        assert api.sql(f"SELECT count(*) FROM {table}") == [(0,)], table


def test_models_are_summed_apart_and_rehearsals_too(api: Api) -> None:
    found = quote(
        api,
        asked(),
        asked(rehearse=True),
        asked(model="claude-haiku-4-5"),
        asked("Why not?"),
    )
    models = [(each["model"], each["rehearse"], each["lines"]) for each in found["models"]]
    assert models == [(MODEL, False, 2), (MODEL, True, 1), ("claude-haiku-4-5", False, 1)]
    for part in ("least", "expected", "most"):
        sums = sum(each["price"][part]["nano_usd"] for each in found["models"])
        assert found["total"]["price"][part]["nano_usd"] == sums


def answered(api: Api, number: int, *, counted: int, billed: int, output: int) -> None:
    """As if so many jobs of the tenant had been answered."""
    usage = {"input_tokens": billed, "output_tokens": output}
    bulk = "\n".join(json.dumps(asked(f"{number} {n}")) for n in range(number))
    with api.client() as client:
        ids = [each["id"] for each in client.post("/api/v1/jobs/bulk", content=bulk).json()["jobs"]]
    api.sql("UPDATE jobs SET input_tokens = %s WHERE id = ANY(%s)", counted, ids)
    for statement, *given in (
        (PLANNED, f"openai/{MODEL}"), (SENT,), (ANSWERED, json.dumps(usage)), (RUNNING,), (DONE,),
    ):  # fmt: skip
        api.sql(statement, *given, ids)


def test_answers_of_the_tenant_tell_how_long_the_next_ones_are(api: Api) -> None:
    before = quote(api, asked())["models"][0]
    assert before["output_tokens"]["expected"] == GUESSED_PERCENT
    assert "guess" in before["basis"]
    answered(api, ENOUGH, counted=200, billed=100, output=30)
    [after] = quote(api, asked(), asked(max_tokens=10))["models"]
    assert after["output_tokens"] == {"expected": 30 + 10, "most": 110}, "never above the most"
    assert after["expected_input_tokens"] == pytest.approx(after["input_tokens"] / 2, abs=1)
    assert f"{ENOUGH} answers of openai/{MODEL}" in after["basis"]
    assert "guess" in quote(api, asked(rehearse=True))["models"][0]["basis"]
    with api.client(api.other_key) as other:
        assert "guess" in other.post(PATH, json=asked()).json()["models"][0]["basis"]


def test_the_error_of_counting_is_told_by_deployment(api: Api) -> None:
    answered(api, 19, counted=105, billed=100, output=1)
    answered(api, 1, counted=90, billed=100, output=1)
    with api.client() as client:
        [told] = client.get("/api/v1/tokens/accuracy", params={"days": 7}).json()["data"]
    assert told["deployment"] == f"openai/{MODEL}"
    assert (told["answers"], told["too_few"]) == (20, 1)
    assert (told["counted_tokens"], told["billed_tokens"]) == (19 * 105 + 90, 2000)
    assert told["bias"] == pytest.approx((19 * 0.05 - 0.1) / 20)
    assert told["mean_error"] == pytest.approx((19 * 0.05 + 0.1) / 20)
    assert told["p95_error"] == pytest.approx(0.0525)
    with api.client(api.other_key) as other:
        assert other.get("/api/v1/tokens/accuracy").json()["data"] == []


def test_a_request_is_counted_for_several_models(api: Api) -> None:
    body = {"request": asked("Why is the sky blue?")["request"],
            "models": [MODEL, "claude-haiku-4-5"]}  # fmt: skip
    with api.client() as client:
        exact, estimate = client.post("/api/v1/tokens", json=body).json()["data"]
        [alone] = client.post("/api/v1/tokens", json={"request": body["request"]}).json()["data"]
        wrong = client.post("/api/v1/tokens", json={**body, "models": [MODEL, "gpt-9"]})
    assert alone == exact
    assert (exact["counted"], estimate["counted"]) == ("exact", "upper estimate")
    assert exact["input_tokens"] == exact["least_input_tokens"] < estimate["input_tokens"]
    assert exact["context_left"] == exact["context_window"] - exact["input_tokens"]
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "models[1]")


def test_the_pace_is_that_of_the_limit_that_binds_with_what_waits_before(api: Api) -> None:
    api.catalog.write_text(LIMITED)
    try:
        hire(api, "openai", azure="AZURE_OPENAI_KEY is not set")
        assert quote(api, asked())["models"][0]["blocked"] is None
        eta = wait_for_limits(api)
        assert (eta["binding"], eta["calls_a_minute"]) == ("requests", 60)
        assert (eta["ahead"], eta["seconds"]) == (0, pytest.approx(29, abs=0.01))
        with api.client() as client:
            bulk = "\n".join(json.dumps(asked(f"{n}")) for n in range(30))
            assert client.post("/api/v1/jobs/bulk", content=bulk).status_code == 202
        later = thirty(api)
        assert (later["ahead"], later["seconds"]) == (30, pytest.approx(59, abs=0.01))
    finally:
        api.catalog.write_text("")


def thirty(api: Api) -> dict[str, Any]:
    eta = quote(api, *(asked(f"{n}") for n in range(30)))["eta"]
    assert eta is not None
    found: dict[str, Any] = eta
    return found


def wait_for_limits(api: Api) -> dict[str, Any]:
    """The quote of thirty lines by the catalog that was written."""

    def known() -> dict[str, Any] | None:
        eta = thirty(api)
        return eta if eta["calls_a_minute"] == 60 else None

    found: dict[str, Any] = eventually(known, "the catalog is taken")
    return found


def test_budgets_that_are_concerned_say_whether_it_fits(api: Api) -> None:
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    most = nano(quote(api, asked(project="p"))["total"])[2]
    caps = {"tight": most * 2 - 1, "wide": most * 2}
    with api.client(admin) as client:
        for name, cap in caps.items():
            wish = {"name": name, "scope": "project", "subject": "p", "every": "total"}
            made = client.post("/api/v1/budgets", json={**wish, "cap_usd": usd(cap)})
            assert made.status_code == 201, made.text
    found = quote(api, asked(project="p"), asked(project="p"), asked(project="q"))
    told = {each["name"]: each for each in found["budgets"]}
    assert {name: each["fits"] for name, each in told.items()} == {"tight": False, "wide": True}
    for name, each in told.items():
        assert (each["lines"], each["most"]["nano_usd"]) == (2, 2 * most)
        assert each["left"]["nano_usd"] == caps[name]
        assert each["expected_fits"] is True
    assert quote(api, asked(project="p", rehearse=True))["budgets"] == []
    half = quote(api, asked(project="p"), asked(project="p"), of=4)
    assert not any(each["fits"] for each in half["budgets"]), "all four have no room"


def test_the_budget_that_a_batch_would_get_is_told_as_if_it_were_there(api: Api) -> None:
    most = nano(quote(api, asked(batch="b"))["total"])[2]
    wish = asked(batch="b", batch_max_cost=usd(most))
    [one] = quote(api, wish)["budgets"]
    [two] = quote(api, wish, wish)["budgets"]
    assert (one["name"], one["scope"], one["at_limit"]) == ("batch:b", "batch", "reject")
    assert (one["fits"], two["fits"], two["left"]["nano_usd"]) == (True, False, most)
    with api.client() as client:
        assert client.post("/api/v1/jobs", json=wish).status_code == 202
    [there] = quote(api, wish)["budgets"]
    assert there["name"] == one["name"]


def usd(nano_usd: int) -> str:
    return f"{nano_usd // 10**9}.{nano_usd % 10**9:09d}"


def test_more_lines_than_a_submission_may_have_are_refused(api: Api) -> None:
    with api.client() as client:
        reply = client.post(PATH, content="\n".join(["{}"] * 1001))
    assert reply.status_code == 400
    assert "1000" in reply.json()["error"]["message"]
