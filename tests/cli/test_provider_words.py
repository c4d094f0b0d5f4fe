"""The words about providers, on a running stack: what is off waits, what is on goes on."""

import json
from typing import Any

import pytest

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


def test_who_has_no_key_is_listed_with_its_variable(serving: Command) -> None:
    listed = rows(serving, "list")
    assert {"openai", "anthropic", "gemini", "xai", "perplexity", "azure"} == set(listed)
    assert "ANTHROPIC_API_KEY" in listed["anthropic"]["why_not"]
    assert "AZURE_OPENAI_ENDPOINT" in listed["azure"]["why_not"]
    shown = serving("providers", "list", "--all").stdout
    assert "simulator" in shown
    assert "OPENAI_API_KEY is not set" in shown
    assert rows(serving, "check", "openai", code=1)["openai"]["health"]["state"] == "unknown"
    assert "no provider 'acme'" in serving("providers", "check", "acme").stderr


def test_a_check_is_made_when_it_is_asked_for(serving: Command) -> None:
    first = rows(serving, "check", "simulator")["simulator"]["health"]
    second = rows(serving, "check", "simulator")["simulator"]["health"]
    assert (first["state"], second["error"]) == ("healthy", None)
    assert second["checked_at"] > first["checked_at"]


@pytest.mark.usefixtures("serving")
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
    eventually("answered", lambda: job(serving, job_id)["state"] == "succeeded", within=20)
