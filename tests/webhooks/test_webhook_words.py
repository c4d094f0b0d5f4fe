"""The words about webhooks: added, tried, rotated, told of, sent again and removed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.api.conftest import Api, api, served
from tests.webhooks.door import PUBLIC, admin, api_settings, deliver, receiver
from tests.webhooks.receiver import Receiver

__all__ = ["admin", "api", "api_settings", "receiver", "served"]


Command = Callable[..., Any]


@pytest.fixture
def promptmill(api: Api, admin: httpx2.Client, tmp_path: Path) -> Command:
    """The command, talking to the API by its admin's key."""
    key = admin.headers["authorization"].removeprefix("Bearer ")
    environ = {
        "PROMPTMILL_URL": api.url, "PROMPTMILL_KEY": key, "PROMPTMILL_HOME": str(tmp_path),
    }  # fmt: skip
    return lambda *arguments: CliRunner().invoke(app, arguments, env=environ)


def rows(command: Command, *arguments: str) -> list[dict[str, Any]]:
    done = command(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_endpoint_from_its_first_word_to_its_last(
    promptmill: Command, receiver: Receiver
) -> None:
    event = ("--event", "job.failed")
    added = promptmill("webhooks", "add", "mine", receiver.url, *event)
    assert added.exit_code == 0, added.stderr
    secret = added.stdout.strip()
    assert secret.startswith("whsec_")
    assert "mine" in promptmill("webhooks", "list").stdout
    tested = promptmill("webhooks", "test", "mine", *event)
    assert (tested.exit_code, "status 204" in tested.stdout) == (0, True)
    assert receiver.got[-1].event["type"] == "job.failed"
    receiver.status = 500
    assert promptmill("webhooks", "test", "mine").exit_code == 1
    [changed] = rows(promptmill, "webhooks", "set", "mine", "--event", "job.expired")
    assert changed["event_types"] == ["job.expired"]
    [rotated] = rows(promptmill, "webhooks", "rotate", "mine")
    assert rotated["signing_secret"] != secret
    assert "disabled by hand" in promptmill("webhooks", "disable", "mine").stdout
    assert "state: enabled" in promptmill("webhooks", "enable", "mine").stdout
    assert secret not in promptmill("webhooks", "show", "mine").stdout
    assert "is deleted" in promptmill("webhooks", "remove", "mine").stdout
    assert rows(promptmill, "webhooks", "list") == []


def test_what_was_missed_is_listed_and_sent_again(promptmill: Command, api: Api) -> None:
    [made] = rows(promptmill, "webhooks", "add", "mine", PUBLIC, "--event", "job.failed")
    old = deliver(api, made, 50, "given_up")
    new = deliver(api, made, 40, "given_up")
    listed = promptmill("webhooks", "deliveries", "mine").stdout
    assert listed.index(new) < listed.index(old)
    assert "it answered with status 500" in listed
    [one] = rows(promptmill, "webhooks", "replay", "mine", "--delivery", old)
    assert (one["state"], one["message_id"]) == ("pending", "evt_50")
    since = ("--since", "2026-01-01T00:00:00Z")
    assert rows(promptmill, "webhooks", "replay", "mine", *since) == [{"replayed": 1}]
    neither = promptmill("webhooks", "replay", "mine")
    assert (neither.exit_code, "say which" in neither.stderr) == (2, True)


def test_a_job_names_the_url_that_is_told(promptmill: Command) -> None:
    named = ("--webhook-url", PUBLIC, "--webhook-event", "job.failed")
    [job] = rows(promptmill, "submit", "Why?", "--rehearse", *named)
    [endpoint] = rows(promptmill, "webhooks", "list")
    assert job["id"]
    assert (endpoint["url"], endpoint["event_types"]) == (PUBLIC, ["job.failed"])
    shown = promptmill("webhooks", "show", endpoint["id"], "--secret").stdout
    assert shown.startswith("whsec_")
    alone = promptmill("submit", "Why?", "--webhook-event", "job.failed")
    assert (alone.exit_code, "goes with --webhook-url" in alone.stderr) == (2, True)


def test_a_mistake_is_a_sentence(promptmill: Command) -> None:
    for arguments, said in [
        (("show", "nobody"), "no webhook 'nobody'"),
        (("add", "mine", PUBLIC), "--event job.succeeded"),
        (("add", "mine", PUBLIC, "--event", "job.done"), "choose of batch.completed"),
        (("add", "mine", "https://10.0.0.1/", "--event", "job.failed"), "url: its address"),
        (("show", "we_nobody"), "no webhook endpoint 'we_nobody'"),
    ]:
        done = promptmill("webhooks", *arguments)
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
