"""`promptmill simulate`: a stand-in for whoever tests against providers."""

import json
import signal

import httpx2

from tests.cli.conftest import Command


def test_it_tells_where_each_wire_is_and_ends_at_ctrl_c(light: Command) -> None:
    running = light.start("simulate", "--rpm", "2", "--json")
    assert running.stdout is not None
    told = json.loads(running.stdout.readline())
    assert told["base_urls"]["simulator-anthropic"] == f"{told['url']}/anthropic"
    models = httpx2.get(
        f"{told['base_urls']['simulator']}/models", headers={"Authorization": "Bearer any"}
    )
    assert any(model["id"] == "gpt-4.1-mini" for model in models.json()["data"])
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert running.returncode == 0


def test_its_options_are_the_simulators_own(light: Command) -> None:
    wrong = light("simulate", "--window", "never")
    assert (wrong.returncode, "--window" in wrong.stderr) == (2, True)
    helped = light("simulate", "--", "--help")
    assert helped.returncode == 0
    assert "--latency-ms" in helped.stdout
