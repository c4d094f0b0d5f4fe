"""A newcomer's walk: a fresh clone, and every command of the README from top to bottom."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.environment import FROM_OUTSIDE

ROOT: Final = Path(__file__).parents[2]
BLOCKS: Final = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS: Final = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
BY_OTHERS: Final = "make test"
"""This very test is run by it."""
STUCK: Final = 720.0
"""Seconds after which a command is taken for stuck; the longest installs everything."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is committed, and nothing else; its stack, if one was left, is stopped."""
    folder = tmp_path_factory.mktemp("newcomer") / "promptmill"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    yield folder
    if (folder / ".venv").exists():
        walk(folder, ".venv/bin/promptmill down")
    shutil.rmtree(folder)


def walk(clone: Path, command: str) -> tuple[str, float]:
    """Run a command as it stands in the README; what it said, and the seconds it took."""
    inherited = {name: os.environ[name] for name in FROM_OUTSIDE if name in os.environ}
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env={**inherited, "PROMPTMILL_HOME": str(clone.parent / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=STUCK,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, time.monotonic() - began


@pytest.mark.timeout(STUCK * 2)
def test_every_command_of_the_readme_does_what_it_says(clone: Path) -> None:
    said = {}
    for command in COMMANDS:
        if command != BY_OTHERS:
            said[command], took = walk(clone, command)
            sys.stdout.write(f"{took:6.1f} s  {command}\n")
    demo = said.pop("make demo")
    assert "120 answered, 0 failed" in demo
    assert "ledger says the same" in demo
    assert len((clone / "answers.jsonl").read_text().splitlines()) == 120
    words = {command.split()[1]: out for command, out in said.items()}
    assert words.keys() == {"run", "up", "submit", "explain", "status", "doctor", "down"}
    assert "Promptmill is up at http://127.0.0.1:" in words["up"]
    assert words["submit"].strip(), "the answer"
    assert "would be asked first" in words["explain"]
    assert "is ok at http://127.0.0.1:" in words["status"]
    assert "0 problems" in words["doctor"]
    changed, _ = walk(clone, "git status --short")
    assert changed == "", "it leaves nothing that git would see"


def test_a_second_demo_installs_nothing_again(clone: Path) -> None:
    installed = clone / ".venv" / ".installed"
    before = installed.stat().st_mtime_ns
    said, took = walk(clone, "make demo")
    sys.stdout.write(f"{took:6.1f} s  make demo, again\n")
    assert "120 answered, 0 failed" in said
    assert installed.stat().st_mtime_ns == before
    told, _ = walk(clone, ".venv/bin/promptmill demo --json")
    assert json.loads(told)["answered"] == 120
