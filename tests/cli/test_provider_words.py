"""The words about providers, on a running stack: what is off waits, what is on goes on."""

import json
from typing import Any

from tests.cli.conftest import Command, eventually


def rows(command: Command, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """What a word prints as JSON, by provider."""
    done = command("providers", *words, "--json")
    assert done.returncode == code, done.stderr
    return {each["id"]: each for each in map(json.loads, done.stdout.splitlines())}


def job(command: Command, job_id: str) -> dict[str, Any]:
    done = command("why", job_id, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ended(command: Command, job_id: str) -> dict[str, Any]:
    """The job, once it has ended."""
    eventually(job_id, lambda: job(command, job_id)["finished_at"], within=60)
    return job(command, job_id)


def test_who_has_no_key_is_listed_with_its_variable(serving: Command) -> None:
    listed = rows(serving, "list")
    assert {"openai", "anthropic", "gemini", "vertex", "xai", "perplexity", "azure"} == set(listed)
    assert "ANTHROPIC_API_KEY" in listed["anthropic"]["why_not"]
    assert "AZURE_OPENAI_ENDPOINT" in listed["azure"]["why_not"]
    shown = serving("providers", "list", "--all").stdout
    assert "simulator" in shown
    assert "OPENAI_API_KEY is not set" in shown
    assert rows(serving, "check", "openai", code=1)["openai"]["health"]["state"] == "unknown"
    assert "no provider 'acme'" in serving("providers", "check", "acme").stderr


def test_the_catalog_is_read_again_on_request(serving: Command) -> None:
    done = serving("providers", "refresh")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the catalog as before with /")
    found = json.loads(serving("providers", "refresh", "--json").stdout)
    assert found["changed"] is False
    assert found["overlay"] in done.stdout
    assert f"{found['providers']} providers, {found['models']} models" in done.stdout


def test_a_check_is_made_when_it_is_asked_for(serving: Command) -> None:
    first = rows(serving, "check", "simulator")["simulator"]["health"]
    second = rows(serving, "check", "simulator")["simulator"]["health"]
    assert (first["state"], second["error"]) == ("healthy", None)
    assert second["checked_at"] > first["checked_at"]


def test_what_is_off_waits_and_goes_on_when_it_is_on_again(serving: Command) -> None:
    serving("providers", "disable", "simulator", "--reason", "tea")
    try:
        # Dispatchers look once a second.
        eventually("off", lambda: rows(serving, "list", "--all")["simulator"]["callable"] is False)
        done = serving("submit", "Why?", "--rehearse", "--json")
        assert done.returncode == 0, done.stderr
        job_id = json.loads(done.stdout)["id"]
        waiting = job(serving, job_id)["waiting"]
        assert waiting["reason"] == "no_deployment"
        assert "tea" in waiting["detail"]
    finally:
        assert serving("providers", "enable", "simulator").returncode == 0
    assert ended(serving, job_id)["state"] == "succeeded"


def test_a_rehearsal_speaks_the_wire_of_the_models_own_provider(serving: Command) -> None:
    stand_ins = {
        "high": "simulator",
        "anthropic-low": "simulator-anthropic",
        "gemini-low": "simulator-gemini",
        "xai-low": "simulator-xai",
        "search": "simulator-perplexity",
    }
    jobs = {}
    for model in stand_ins:
        done = serving("submit", "Why?", "--model", model, "--rehearse", "--json")
        assert done.returncode == 0, done.stderr
        jobs[model] = json.loads(done.stdout)["id"]
    for model, job_id in jobs.items():
        found = ended(serving, job_id)
        assert found["state"] == "succeeded", found["error"]
        [attempt] = found["attempts"]
        assert attempt["deployment"].partition("/")[0] == stand_ins[model]
        assert attempt["cost"]["nano_usd"] > 0
    checked = [rows(serving, "check", each)[each] for each in stand_ins.values()]
    assert {each["health"]["state"] for each in checked} == {"healthy"}
