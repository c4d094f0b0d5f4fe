"""Which server a word talks to, the keys of a tenant, and the tenants of a mill."""

import json
import stat
from typing import Any

import pytest

from tests.cli.conftest import Command

KEY = "pm_live_x_y"


def one(command: Command, *arguments: str, **options: Any) -> dict[str, Any]:
    """The single JSON line of a word."""
    done = command(*arguments, "--json", **options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_new_tenant_gets_a_key_that_makes_and_revokes_others(serving: Command) -> None:
    made = serving("tenants", "create", "blue", "--weight", "3")
    assert made.returncode == 0, made.stderr
    admin = {"PROMPTMILL_KEY": made.stdout.strip()}
    reader = one(serving, "keys", "create", "ci", "--scope", "jobs:read", **admin)
    listed = serving("keys", "list", **admin).stdout
    assert reader["id"] in listed
    assert reader["key"] not in listed
    assert serving("jobs", PROMPTMILL_KEY=reader["key"]).returncode == 0
    refused = serving("keys", "list", PROMPTMILL_KEY=reader["key"])
    assert (refused.returncode, "lacks the scope admin" in refused.stderr) == (2, True)
    assert one(serving, "keys", "revoke", reader["id"], **admin)["revoked_at"]
    first = f"key_{admin['PROMPTMILL_KEY'].split('_')[2]}"
    last = serving("keys", "revoke", first, **admin)
    assert (last.returncode, "last key with the scope admin" in last.stderr) == (2, True)
    assert serving("keys", "revoke", first, "--force", **admin).returncode == 0

    assert "exists already" in serving("tenants", "create", "blue").stderr
    assert serving("tenants", "set-weight", "blue", "5").returncode == 0
    assert "no tenant 'green'" in serving("tenants", "set-weight", "green", "5").stderr
    lines = serving("tenants", "list", "--json").stdout.splitlines()
    assert {(t["name"], t["weight"]) for t in map(json.loads, lines)} >= {("blue", 5)}


def test_limits_of_tenants_and_keys_are_set_shown_and_taken_away(serving: Command) -> None:
    admin = {"PROMPTMILL_KEY": serving("tenants", "create", "red").stdout.strip()}
    limits = ("--max-running", "3", "--max-queued", "50", "--requests-per-minute", "900")
    assert one(serving, "tenants", "limits", "red", *limits)["limits"]["max_running"] == 3
    kept = one(serving, "tenants", "limits", "red", "--max-running", "0")["limits"]
    assert (kept["max_running"], kept["max_queued"]) == (None, 50)
    assert "max_queued 50, requests_per_minute 900" in serving("tenants", "list").stdout
    key = one(serving, "keys", "create", "slow", "--requests-per-minute", "1", **admin)
    assert "requests_per_minute 1" in serving("keys", "list", **admin).stdout
    slow = {"PROMPTMILL_KEY": key["key"]}
    serving("jobs", **slow)
    refused = serving("jobs", **slow)
    assert (refused.returncode, "1 requests a minute" in refused.stderr) == (2, True)
    bare = one(serving, "tenants", "limits", "red", "--none", "--max-queued", "9")["limits"]
    assert {name for name, value in bare.items() if value} == {"max_queued"}


def test_a_file_longer_than_the_queue_of_its_tenant_is_run_to_its_end(serving: Command) -> None:
    key = {"PROMPTMILL_KEY": serving("tenants", "create", "narrow").stdout.strip()}
    assert serving("tenants", "limits", "narrow", "--max-queued", "8").returncode == 0
    serving.write("long.jsonl", [{"question": f"What is {n}?"} for n in range(60)])
    ran = serving("run", "long.jsonl", "--prompt", "{{question}}", "--rehearse", **key)
    assert ran.returncode == 0, ran.stderr
    assert len(serving.read("long.answers.jsonl")) == 60


def test_a_login_is_kept_for_its_owner_only_and_used_by_every_word(
    serving: Command, light: Command
) -> None:
    url, key = serving.state()["extra"]["api_url"], serving("key").stdout
    done = light("login", url, typed=key)
    assert done.returncode == 0, done.stderr
    assert key.strip() not in done.stdout + done.stderr
    [file] = light.folder.rglob("credentials.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    light.write("q.jsonl", [{"question": "Why?"}])
    ran = light("run", "q.jsonl", "--prompt", "{{question}}", "--rehearse")
    assert ran.returncode == 0, ran.stderr
    assert light.read("q.answers.jsonl")[0]["promptmill"]["content"]
    assert not light.home.exists()
    assert light("logout").returncode == 0
    assert not file.exists()
    by_option = light("jobs", "--url", url, "--key-variable", "MINE", MINE=key.strip())
    assert by_option.returncode == 0, by_option.stderr


def test_a_wrong_key_is_not_stored(serving: Command, light: Command) -> None:
    url, key = serving.state()["extra"]["api_url"], serving("key").stdout.strip()
    assert "no key of Promptmill" in light("login", url, typed=key[:-3]).stderr
    assert list(light.folder.rglob("credentials.json")) == []


@pytest.mark.parametrize(
    ("environ", "words", "says"),
    [
        ({}, (), "promptmill up"),
        ({}, (), "PROMPTMILL_URL"),
        ({}, (), "promptmill login"),
        ({"PROMPTMILL_URL": "https://mill.example"}, (), "needs a key: set PROMPTMILL_KEY"),
        ({"PROMPTMILL_URL": "https://mill.example", "PROMPTMILL_KEY": KEY}, (), "PROMPTMILL_KEY: "),
        ({}, ("--url", "http://mill.example"), "in clear"),
        ({}, ("--url", "mill.example"), "https://mill.example"),
    ],
)
def test_a_server_that_is_not_found_is_told_with_the_ways_out(
    light: Command, environ: dict[str, str], words: tuple[str, ...], says: str
) -> None:
    done = light("jobs", *words, **environ)
    assert done.returncode == 2
    assert says in done.stderr
    assert KEY not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_tenants_without_a_database_say_what_to_set(light: Command) -> None:
    done = light("tenants", "list")
    assert (done.returncode, "DATABASE_URL" in done.stderr) == (2, True)


def test_budgets_are_made_changed_and_removed_by_name(serving: Command) -> None:
    admin = {"PROMPTMILL_KEY": serving("tenants", "create", "green").stdout.strip()}
    words = ("budgets", "create", "research", "--project", "research", "--cap", "20.50")
    made = one(serving, *words, "--every", "day", "--at-limit", "park", "--alert", "50", **admin)
    assert (made["subject"], made["cap"]["usd"], made["alerts"]) == ("research", "20.5", [50])
    assert (made["every"], made["at_limit"], made["time_zone"]) == ("day", "park", "UTC")
    lower = ("--downgrade-to", "gpt-4.1-nano", "--downgrade-at", "80")
    changed = one(serving, "budgets", "set", "research", "--cap", "40", *lower, **admin)
    assert (changed["cap"]["usd"], changed["at_limit"]) == ("40", "downgrade")
    shown = serving("budgets", "list", **admin).stdout
    for words_ in ("project research", "$40.00", "[..........] 0%", "gpt-4.1-nano from 80%"):
        assert words_ in shown
    assert serving("budgets", "alerts", made["id"], **admin).stdout.startswith("WINDOW")
    zone = serving("budgets", "create", "x", "--cap", "1", "--time-zone", "Nowhere", **admin)
    assert (zone.returncode, "no time zone 'Nowhere'" in zone.stderr) == (2, True)
    both = serving("budgets", "create", "x", "--cap", "1", "--tag", "a", "--key", "b", **admin)
    assert (both.returncode, "one of them" in both.stderr) == (2, True)
    house = serving("budgets", "create", "x", "--cap", "1", "--house", **admin)
    assert (house.returncode, "scope operator" in house.stderr) == (2, True)
    assert "say what changes" in serving("budgets", "set", "research", **admin).stderr
    assert "is archived" in serving("budgets", "remove", "research", **admin).stdout
    gone = serving("budgets", "remove", "research", **admin)
    assert (gone.returncode, "no budget 'research'" in gone.stderr) == (2, True)


def test_jobs_carry_their_labels_and_are_found_by_them(serving: Command) -> None:
    admin = {"PROMPTMILL_KEY": serving("tenants", "create", "violet").stdout.strip()}
    key = one(serving, "keys", "create", "ci", "--project", "research", **admin)
    assert "research" in serving("keys", "list", **admin).stdout
    bound = {"PROMPTMILL_KEY": key["key"]}
    words = ("submit", "Why?", "--rehearse", "--tag", "b", "--tag", "a", "--user", "u-1")
    job = one(serving, *words, **bound)
    assert (job["project"], job["tags"], job["end_user"]) == ("research", ["a", "b"], "u-1")
    one(serving, "submit", "Other?", "--rehearse", **bound)
    for choice in (("--tag", "a"), ("--user", "u-1"), ("--project", "research", "--tag", "b")):
        assert one(serving, "jobs", *choice, **bound)["id"] == job["id"]
    refused = serving("submit", "Why?", "--rehearse", "--project", "sales", **bound)
    assert (refused.returncode, "the project 'research'" in refused.stderr) == (2, True)


def test_a_key_gets_another_secret_and_other_limits_under_the_same_id(serving: Command) -> None:
    admin = {"PROMPTMILL_KEY": serving("tenants", "create", "lime").stdout.strip()}
    id_ = f"key_{admin['PROMPTMILL_KEY'].split('_')[2]}"
    limited = serving("keys", "limits", id_, "--max-running", "4", **admin)
    assert limited.stdout.strip() == f"{id_}: max_running 4"
    rotated = serving("keys", "rotate", id_, "--old-hours", "1", **admin)
    assert "the old secret counts until" in rotated.stderr
    new = {"PROMPTMILL_KEY": rotated.stdout.strip()}
    again = serving("keys", "rotate", id_, **new)
    assert (again.returncode, "two of its secrets count" in again.stderr) == (2, True)
    last = one(serving, "keys", "rotate", id_, "--old-hours", "0", **admin)
    assert (last["id"], last["old_secret_until"], last["max_running"]) == (id_, None, 4)
    refused = serving("keys", "list", **new)
    assert (refused.returncode, "unknown, expired or revoked" in refused.stderr) == (2, True)
