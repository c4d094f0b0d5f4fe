"""Where a budget has no room, the door refuses, sends to a cheaper route, or says what waits."""

from typing import Any

import orjson
import pytest

from shared.domain.money import NANO_PER_USD
from shared.security.keys import parse_key
from tests.api.conftest import Api, hire, job_body

MAX_TOKENS = 100
CHEAP = "openai/gpt-4.1-nano"


@pytest.fixture
def openai(api: Api) -> Api:
    """An API with a worker that can call OpenAI."""
    hire(api, "openai", azure="no key")
    return api


def budget(api: Api, cap: int, *, house: bool = False, **columns: Any) -> None:
    """Make one of the client's tenant, called `team`: a day's that rejects, unless said else."""
    usual = {"scope": "all", "subject": "", "every": "day", "at_limit": "reject"}
    row = {**usual, "downgrade_at": None, "downgrade_to": None, **columns}
    key = parse_key(api.key)
    assert key is not None
    api.sql(
        f"INSERT INTO budgets (id, tenant_id, name, cap_nano, time_zone, alerts, {', '.join(row)})"
        " SELECT 'bud_1', CASE WHEN %s THEN NULL ELSE tenant_id END, 'team', %s, 'UTC', '{}',"
        " %s, %s, %s, %s, %s, %s FROM api_keys WHERE id = %s",
        house, cap, *row.values(), key.id,
    )  # fmt: skip
    api.sql("UPDATE budgets_version SET version = version + 1")


def spend(api: Api, spent: int, held: int = 0) -> None:
    """As if so much was booked in the window of this moment."""
    submit(api, job(), 202)
    [(every,)] = api.sql("SELECT every FROM budgets")
    starts = "'-infinity'" if every == "total" else f"date_trunc('{every}', now(), 'UTC')"
    api.sql(
        "INSERT INTO budget_windows (budget_id, starts_at, ends_at, spent_nano, held_nano)"
        f" VALUES ('bud_1', {starts}, 'infinity', %s, %s)"
        " ON CONFLICT (budget_id, starts_at) DO UPDATE"
        " SET spent_nano = excluded.spent_nano, held_nano = excluded.held_nano",
        spent, held,
    )  # fmt: skip


def job(prompt: str = "Why?", *, model: str = "gpt-4.1", **more: Any) -> dict[str, Any]:
    asked = job_body(prompt, **more)
    asked["request"] |= {"model": model, "max_tokens": MAX_TOKENS}
    return asked


def submit(api: Api, asked: dict[str, Any], status: int, **headers: str) -> dict[str, Any]:
    with api.client() as client:
        reply = client.post("/api/v1/jobs", json=asked, headers=headers)
    assert reply.status_code == status, reply.text
    found: dict[str, Any] = reply.json()
    return found


def why(api: Api, job_id: str) -> dict[str, Any]:
    with api.client() as client:
        found: dict[str, Any] = client.get(f"/api/v1/jobs/{job_id}/why").json()["waiting"]
    return found


def test_what_no_longer_fits_what_is_spent_is_refused_by_name_cap_spent_and_reset(
    openai: Api,
) -> None:
    budget(openai, NANO_PER_USD)
    spend(openai, NANO_PER_USD - 1)
    error = submit(openai, job(), 402)["error"]
    assert error["code"] == "budget_exceeded"
    said = "budget 'team' of $1.00 a day has no room: $0.999999999 are spent and $0.00 held, and "
    assert error["message"].startswith(said)
    assert "may cost $0.0008" in error["message"]
    assert "it resets at 20" in error["message"]
    assert openai.sql("SELECT count(*) FROM jobs") == [(1,)]


def test_money_that_is_only_held_refuses_nobody_and_why_tells_what_is_in_the_way(
    openai: Api,
) -> None:
    budget(openai, NANO_PER_USD)
    spend(openai, 40_000_000, held=NANO_PER_USD - 40_000_000)
    waiting = why(openai, submit(openai, job(), 202)["id"])
    assert waiting["reason"] == "budget"
    told = waiting["budget"]
    assert (told["name"], told["at_limit"]) == ("team", "reject")
    amounts = {name: told[name]["usd"] for name in ("cap", "spent", "held", "left")}
    assert amounts == {"cap": "1", "spent": "0.04", "held": "0.96", "left": "0"}
    assert 0 < told["needed"]["nano_usd"] < 2_000_000
    assert waiting["until"].endswith("Z")


def test_a_budget_that_parks_refuses_nobody(openai: Api) -> None:
    budget(openai, NANO_PER_USD, at_limit="park", every="total")
    spend(openai, NANO_PER_USD)
    waiting = why(openai, submit(openai, job(), 202)["id"])
    assert (waiting["reason"], waiting["until"]) == ("budget", None)
    assert "it never resets, or raise its cap" in waiting["detail"]


@pytest.mark.parametrize(
    ("scope", "subject", "more"),
    [
        ("project", "blue", {"project": "blue"}),
        ("tag", "b", {"tags": ["a", "b"]}),
        ("batch", "night", {"batch": "night"}),
        ("model", "gpt-4.1", {}),
        ("provider", "openai", {}),
    ],
)
def test_only_what_counts_in_it_is_refused(
    openai: Api, scope: str, subject: str, more: dict[str, Any]
) -> None:
    budget(openai, 1, scope=scope, subject=subject)
    if more:
        submit(openai, job(), 202)
        submit(openai, job(**{name: type(each)("x") for name, each in more.items()}), 202)
    submit(openai, job(**more, rehearse=True), 202)
    assert submit(openai, job(**more), 402)["error"]["code"] == "budget_exceeded"


def test_another_deployment_that_fits_is_enough(openai: Api) -> None:
    budget(openai, 1, scope="model", subject="gpt-4.1")
    taken = submit(openai, job(policy={"candidates": ["gpt-4.1-nano"]}), 202)
    assert taken["state"] == "queued"


def test_of_a_bulk_all_or_none_is_taken_and_the_first_line_is_named(openai: Api) -> None:
    budget(openai, 1, scope="tag", subject="dear")
    lines = [job(), job(tags=["dear"]), job(tags=["dear"])]
    with openai.client() as client:
        reply = client.post("/api/v1/jobs/bulk", content=b"\n".join(map(orjson.dumps, lines)))
    assert reply.status_code == 402, reply.text
    error = reply.json()["error"]
    assert error["line"] == 2
    assert error["message"].startswith("line 2: budget 'team'")
    assert openai.sql("SELECT count(*) FROM jobs") == [(0,)]


def test_what_was_accepted_before_is_told_again_when_all_is_spent(openai: Api) -> None:
    first = submit(openai, job(), 202, **{"Idempotency-Key": "once"})
    budget(openai, 1)
    again = submit(openai, job(), 202, **{"Idempotency-Key": "once"})
    assert again["id"] == first["id"]
    submit(openai, job(), 402, **{"Idempotency-Key": "twice"})


def test_a_budget_over_all_tenants_tells_a_tenant_no_amount(openai: Api) -> None:
    budget(openai, NANO_PER_USD, house=True)
    spend(openai, 600_000_000, held=400_000_000)
    told = why(openai, submit(openai, job(), 202)["id"])
    assert (told["budget"]["name"], told["budget"]["spent"]) == (None, None)
    assert "0.6" not in told["detail"]
    spend(openai, 999_999_999)
    error = submit(openai, job(), 402)["error"]
    assert "a budget of this installation" in error["message"]
    assert "0.999" not in error["message"]


def test_near_its_cap_a_budget_sends_a_job_to_the_cheaper_route_that_can_take_it(
    openai: Api,
) -> None:
    budget(openai, NANO_PER_USD, at_limit="downgrade", downgrade_at=80, downgrade_to="gpt-4.1-nano")
    asked = submit(openai, job(), 202)
    [(policy,)] = openai.sql("SELECT policy FROM jobs WHERE id = %s", asked["id"])
    assert policy["candidates"] == ["openai/gpt-4.1", "azure/gpt-4.1"]
    assert policy["downgrades"][0] == CHEAP
    with openai.client() as client:
        plan = client.post("/api/v1/explain", json=job()).json()
    assert plan["downgrades"][0]["deployment"] == CHEAP
    assert plan["downgrades"][0]["reasons"][0] == "its budget sends it to gpt-4.1-nano"
    spend(openai, 850_000_000)
    assert why(openai, submit(openai, job(), 202)["id"])["deployment"] == CHEAP
    spend(openai, NANO_PER_USD)
    full = why(openai, submit(openai, job(), 202)["id"])
    assert "$0.20 are kept for gpt-4.1-nano" in full["detail"]


def test_the_cheaper_route_may_be_one_that_chooses_by_what_is_asked(openai: Api) -> None:
    budget(openai, NANO_PER_USD, at_limit="downgrade", downgrade_to="cheap")
    asked = submit(openai, job("Write a proof.", model="gpt-6.1-sol"), 202)
    [(policy,)] = openai.sql("SELECT policy FROM jobs WHERE id = %s", asked["id"])
    assert policy["candidates"][0] == "openai/gpt-6.1-sol"
    assert policy["downgrades"]
    assert "openai/gpt-6.1-sol" not in policy["downgrades"]


def test_nobody_is_sent_to_what_is_dearer(openai: Api) -> None:
    budget(openai, NANO_PER_USD, at_limit="downgrade", downgrade_at=80, downgrade_to="gpt-4.1")
    asked = submit(openai, job(model="gpt-4.1-nano"), 202)
    [(policy,)] = openai.sql("SELECT policy FROM jobs WHERE id = %s", asked["id"])
    assert policy["downgrades"] == policy["candidates"]


def test_a_cheaper_route_that_cannot_do_what_is_asked_is_none(openai: Api) -> None:
    budget(openai, NANO_PER_USD, at_limit="downgrade", downgrade_at=80, downgrade_to="gpt-6-luna")
    asked = job()
    asked["request"]["temperature"] = 0.5
    done = submit(openai, asked, 202)
    [(policy,)] = openai.sql("SELECT policy FROM jobs WHERE id = %s", done["id"])
    assert policy is None
    with openai.client() as client:
        plan = client.post("/api/v1/explain", json=asked).json()
    assert "sampling" in plan["refused"][-1]["reason"]


def test_a_rehearsal_is_never_sent_elsewhere(openai: Api) -> None:
    budget(openai, 1, at_limit="downgrade", downgrade_at=80, downgrade_to="gpt-4.1-nano")
    done = submit(openai, job(rehearse=True), 202)
    [(policy,)] = openai.sql("SELECT policy FROM jobs WHERE id = %s", done["id"])
    assert policy is None
