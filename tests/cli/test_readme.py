"""Every command that the README shows is known here, and does what it says."""

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command, eventually

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
BY_MAKE = {"make demo", "make test"}
"""What these start is tested here as `promptmill demo`, and by the run of this very test."""
PREFIX = ".venv/bin/promptmill "


@pytest.fixture
def checkout(promptmill: Command) -> Command:
    """The command in a folder that has the examples."""
    shutil.copytree(ROOT / "examples", promptmill.folder / "examples")
    return promptmill


def test_the_readme_shows_only_commands_that_are_run_here() -> None:
    ours = {line.split('"')[0] for line in COMMANDS if line.startswith(PREFIX)}
    assert set(COMMANDS) - BY_MAKE == {line for line in COMMANDS if line.startswith(PREFIX)}
    assert {line.removeprefix(PREFIX).split()[0] for line in ours} == {"run", "up"}


def test_the_readmes_run_answers_every_example(checkout: Command) -> None:
    [line] = [line for line in COMMANDS if line.startswith(f"{PREFIX}run")]
    words = re.findall(r'"[^"]*"|\S+', line.removeprefix(PREFIX))
    done = checkout(*(word.strip('"') for word in words))
    assert done.returncode == 0, done.stderr
    assert len(checkout.read("answers.jsonl")) == 120


def test_the_demo_shows_answers_cost_and_timings(checkout: Command) -> None:
    done = checkout("demo")
    assert done.returncode == 0, done.stderr
    assert "120 answered, 0 failed" in done.stdout
    assert "ledger says the same" in done.stdout
    again = checkout("demo")
    assert again.returncode == 0, again.stderr


def test_the_readmes_up_starts_and_stops(checkout: Command) -> None:
    [line] = [line for line in COMMANDS if line.startswith(f"{PREFIX}up")]
    up = checkout.start(*line.removeprefix(PREFIX).split())
    eventually("it is ready", lambda: checkout.state().get("extra", {}).get("ready"))
    assert checkout("down").returncode == 0
    assert up.wait(30) == 0
