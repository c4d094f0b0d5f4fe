"""Budgets over HTTP: made, changed and archived by their tenant; whom a job belongs to."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from shared.security.keys import Scope
from tests.api.conftest import Api, api, api_settings, job_body, make_key, served

__all__ = ["api", "api_settings", "served"]

NO_USD = {"nano_usd": 0, "usd": "0", "unknown": False}


def admin_of(api: Api, tenant: str = "one", *scopes: Scope) -> httpx2.Client:
    """A client that may change budgets."""
    key = asyncio.run(make_key(api.database_url, tenant, Scope.ADMIN, *scopes))
    return api.client(key)


def make(client: httpx2.Client, **wishes: Any) -> dict[str, Any]:
    made = client.post("/api/v1/budgets", json={"name": "b", "cap_usd": "1", **wishes})
    assert made.status_code == 201, made.text
    budget: dict[str, Any] = made.json()
    return budget


def spend(api: Api, budget_id: str, spent: int, held: int = 0) -> None:
    """As if calls had been booked in the window of this moment."""
    api.sql(
        "INSERT INTO budget_windows (budget_id, starts_at, ends_at, spent_nano, held_nano)"
        " SELECT id, date_trunc(every, now(), time_zone), now() + interval '1 day', %s, %s"
        " FROM budgets WHERE id = %s",
        spent,
        held,
        budget_id,
    )


def version(api: Api) -> int:
    [(number,)] = api.sql("SELECT version FROM budgets_version")
    return int(number)


def test_a_budget_is_made_read_changed_and_archived(api: Api) -> None:
    before = version(api)
    wish = {
        "name": "research a month", "scope": "project", "subject": "research",
        "cap_usd": "200.5", "time_zone": "Europe/Berlin", "at_limit": "park",
        "alerts": [90, 50, 90],
    }  # fmt: skip
    with admin_of(api) as client:
        made = make(client, **wish)
        assert made["cap"] == {
            "nano_usd": 200_500_000_000,
            "usd": "200.5",
            "unknown": False,
        }
        assert (made["every"], made["alerts"], made["house"]) == ("month", [50, 90], False)
        assert made["window"]["spent"] == NO_USD
        assert made["window"]["left"] == made["cap"]
        assert made["window"]["resets_at"] > made["window"]["starts_at"]
        assert client.get("/api/v1/budgets").json()["data"] == [made]
        spend(api, made["id"], spent=150_000_000_000, held=500_000_000)
        window = client.get(f"/api/v1/budgets/{made['id']}").json()["window"]
        assert window["left"]["nano_usd"] == 50_000_000_000
        assert window["used_percent"] == 74
        changed = client.patch(
            f"/api/v1/budgets/{made['id']}", json={"cap_usd": 100, "at_limit": "reject"}
        )
        assert changed.status_code == 200, changed.text
        assert changed.json()["at_limit"] == "reject"
        assert changed.json()["alerts"] == [50, 90]
        assert changed.json()["window"]["left"] == NO_USD
        gone = client.delete(f"/api/v1/budgets/{made['id']}")
        assert gone.json()["archived_at"]
        assert client.get("/api/v1/budgets").json()["data"] == []
        assert client.get(f"/api/v1/budgets/{made['id']}").json() == gone.json()
        again = client.patch(f"/api/v1/budgets/{made['id']}", json={"cap_usd": 100})
        assert again.status_code == 409
        assert make(client, **wish)["id"] != made["id"]
    assert version(api) == before + 4


@pytest.mark.parametrize(
    ("wish", "field", "words"),
    [
        ({"time_zone": "Middle/Earth"}, "time_zone", "no time zone 'Middle/Earth'"),
        ({"time_zone": "EST5EDT,M3"}, "time_zone", "IANA"),
        ({"alerts": [0]}, "alerts[0]", "greater than or equal to 1"),
        ({"alerts": [1001]}, "alerts[0]", "less than or equal to 1000"),
        ({"scope": "project"}, "subject", "say which project"),
        ({"subject": "x"}, "subject", "the scope all has none"),
        ({"scope": "model", "subject": "gpt-0"}, "subject", "gpt-0"),
        ({"scope": "provider", "subject": "acme"}, "subject", "openai"),
        ({"scope": "key", "subject": "key_x"}, "subject", "no key 'key_x'"),
        ({"at_limit": "downgrade"}, "downgrade_to", "cheaper"),
        ({"at_limit": "downgrade", "downgrade_to": "gpt-0"}, "downgrade_to", "gpt-0"),
        ({"downgrade_to": "gpt-4.1-nano"}, "downgrade_to", "at_limit"),
        ({"downgrade_at": 90}, "downgrade_at", "at_limit"),
        ({"name": "batch:x"}, "name", "batch_max_cost"),
        ({"cap_usd": -1}, "cap_usd", "greater than or equal to 0"),
        ({"cap_usd": "0.0000000001"}, "cap_usd", "9 decimal places"),
        ({"every": "fortnight"}, "every", "'quarter'"),
        ({"scope": "user", "subject": "u"}, "scope", "'project'"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_by_its_field(
    api: Api, wish: dict[str, Any], field: str, words: str
) -> None:
    with admin_of(api) as client:
        refused = client.post("/api/v1/budgets", json={"name": "b", "cap_usd": "1", **wish})
    assert refused.status_code == 400
    assert refused.json()["error"]["field"] == field
    assert words in refused.json()["error"]["message"]
    assert api.sql("SELECT count(*) FROM budgets") == [(0,)]


def test_every_window_scope_and_policy_can_be_had(api: Api) -> None:
    with admin_of(api) as client:
        for every in ("minute", "hour", "day", "week", "month", "quarter", "year"):
            window = make(client, name=every, every=every, time_zone="Asia/Kathmandu")["window"]
            assert window["starts_at"] < window["resets_at"]
        total = make(client, name="total", every="total")["window"]
        assert (total["starts_at"], total["resets_at"]) == (None, None)
        [key] = [each["id"] for each in client.get("/api/v1/keys").json()["data"]][:1]
        subjects = {"key": key, "tag": "t", "batch": "b", "provider": "openai"}
        for scope, subject in subjects.items():
            assert make(client, name=scope, scope=scope, subject=subject)["subject"] == subject
        lower = {"at_limit": "downgrade", "downgrade_to": "gpt-4.1-nano", "downgrade_at": 80}
        aliased = make(client, name="alias", scope="model", subject="gpt-4.1-mini", **lower)
        assert (aliased["downgrade_to"], aliased["downgrade_at"]) == ("gpt-4.1-nano", 80)
        parked = client.patch(f"/api/v1/budgets/{aliased['id']}", json={"at_limit": "park"}).json()
        assert (parked["downgrade_to"], parked["downgrade_at"]) == (None, None)


def test_only_admins_change_budgets_and_only_of_their_tenant(api: Api) -> None:
    with admin_of(api) as client, admin_of(api, "two") as other, api.client() as plain:
        ours = make(client)
        path = f"/api/v1/budgets/{ours['id']}"
        assert plain.get(path).json() == ours
        for answer in (
            plain.post("/api/v1/budgets", json={"name": "c", "cap_usd": "1"}),
            plain.patch(path, json={"cap_usd": "2"}),
            plain.delete(path),
        ):
            assert answer.status_code == 403
        for answer in (
            other.get(path),
            other.patch(path, json={"cap_usd": "2"}),
            other.delete(path),
            other.get(f"{path}/alerts"),
        ):
            assert answer.status_code == 404
        assert other.get("/api/v1/budgets").json()["data"] == []
        twice = client.post("/api/v1/budgets", json={"name": "b", "cap_usd": "1"})
        assert (twice.status_code, twice.json()["error"]["field"]) == (409, "name")
        null = client.patch(path, json={"cap_usd": None})
        assert (null.status_code, null.json()["error"]["field"]) == (400, "cap_usd")
        assert plain.get(path).json() == ours


def test_budgets_of_the_house_are_an_operators(api: Api) -> None:
    with admin_of(api) as client, admin_of(api, "two", Scope.OPERATOR) as operator:
        refused = client.post("/api/v1/budgets", json={"name": "b", "cap_usd": "1", "house": True})
        assert (refused.status_code, refused.json()["error"]["field"]) == (403, "house")
        wide = make(operator, house=True, scope="provider", subject="openai")
        assert wide["house"] is True
        assert client.get(f"/api/v1/budgets/{wide['id']}").status_code == 404
        assert client.get("/api/v1/budgets").json()["data"] == []
        assert operator.get("/api/v1/budgets").json()["data"] == [wide]
        narrow = operator.post(
            "/api/v1/budgets",
            json={"name": "c", "cap_usd": "1", "house": True, "scope": "tag", "subject": "t"},
        )
        assert (narrow.status_code, narrow.json()["error"]["field"]) == (400, "scope")


def test_alerts_are_told_with_their_window(api: Api) -> None:
    with admin_of(api) as client:
        made = make(client, every="day")
        spend(api, made["id"], spent=800_000_000)
        api.sql(
            "INSERT INTO budget_alerts (window_id, percent, spent_nano, cap_nano, at)"
            " SELECT id, 75, 760000000, 1000000000, now() FROM budget_windows"
        )
        assert client.get(f"/api/v1/budgets/{made['id']}").json()["window"]["alerts"] == [75]
        [alert] = client.get(f"/api/v1/budgets/{made['id']}/alerts").json()["data"]
    assert (alert["percent"], alert["spent"]["nano_usd"]) == (75, 760_000_000)
    assert (alert["told_at"], alert["window_starts_at"]) == (None, made["window"]["starts_at"])


def test_a_job_says_whom_it_belongs_to_and_is_found_by_it(api: Api) -> None:
    labels: dict[str, Any] = {"project": "research", "end_user": "u-17", "tags": ["b", "a", "b"]}
    with api.client() as client:
        assert client.post("/api/v1/jobs", json=job_body("other")).status_code == 202
        job = client.post("/api/v1/jobs", json=job_body(**labels)).json()
        assert (job["project"], job["end_user"], job["tags"]) == ("research", "u-17", ["a", "b"])
        for params in ({"project": "research"}, {"tag": "a"}, {"end_user": "u-17"}):
            found = client.get("/api/v1/jobs", params=params).json()["data"]
            assert [each["id"] for each in found] == [job["id"]]
        assert client.get("/api/v1/jobs", params={"tag": "c"}).json()["data"] == []
        for wrong in (
            {"tags": ["x"] * 9},
            {"tags": [""]},
            {"end_user": "x" * 129},
            {"project": ""},
        ):
            assert client.post("/api/v1/jobs", json=job_body(**wrong)).status_code == 400


def test_the_jobs_of_a_bound_key_belong_to_its_project(api: Api) -> None:
    scopes = ["jobs:read", "jobs:write", "admin"]
    with admin_of(api) as client:
        wish = {"name": "ci", "project": "research", "scopes": scopes}
        made = client.post("/api/v1/keys", json=wish).json()
    assert made["project"] == "research"
    with api.client(made["key"]) as bound:
        assert bound.get("/api/v1/me").json()["key"]["project"] == "research"
        for body in (job_body(), job_body(project="research")):
            assert bound.post("/api/v1/jobs", json=body).json()["project"] == "research"
        refused = bound.post("/api/v1/jobs", json=job_body(project="sales"))
        assert (refused.status_code, refused.json()["error"]["field"]) == (403, "project")
        assert "'research'" in refused.json()["error"]["message"]
        assert bound.post("/api/v1/keys", json={"name": "x"}).json()["project"] == "research"
        other = bound.post("/api/v1/keys", json={"name": "x", "project": "sales"})
        assert other.status_code == 403


def test_the_most_of_a_batch_is_its_budget_made_once(api: Api) -> None:
    capped = {"batch": "tuesday", "batch_max_cost": "0.25"}
    before = version(api)
    with api.client() as client:

        def submit(number: int) -> int:
            lines = (json.dumps(job_body(f"{number} {i}", **capped)) for i in range(3))
            return client.post("/api/v1/jobs/bulk", content="\n".join(lines)).status_code

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(submit, range(8))) == [202] * 8
        [budget] = client.get("/api/v1/budgets").json()["data"]
        assert (budget["scope"], budget["subject"], budget["every"]) == (
            "batch",
            "tuesday",
            "total",
        )
        assert (budget["cap"]["nano_usd"], budget["at_limit"]) == (250_000_000, "reject")
        assert budget["name"] == "batch:tuesday"
        assert version(api) == before + 1
        assert client.post("/api/v1/jobs", json=job_body(batch="tuesday")).status_code == 202
        other = client.post("/api/v1/jobs", json=job_body(**{**capped, "batch_max_cost": "0.3"}))
        assert (other.status_code, other.json()["error"]["field"]) == (409, "batch_max_cost")
        assert "$0.25" in other.json()["error"]["message"]
        two = [job_body(batch="w", batch_max_cost=cost) for cost in ("1", "2")]
        mixed = client.post("/api/v1/jobs/bulk", content="\n".join(map(json.dumps, two)))
        assert mixed.status_code == 409
        alone = client.post("/api/v1/jobs", json=job_body(batch_max_cost="1"))
        assert alone.status_code == 400
        rehearsed = job_body(batch="r", batch_max_cost="1", rehearse=True)
        assert client.post("/api/v1/jobs", json=rehearsed).status_code == 202
    assert api.sql("SELECT subject FROM budgets") == [("tuesday",)]
