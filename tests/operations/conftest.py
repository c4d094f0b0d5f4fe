"""The command as a process of its own, upon a database of the test's."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.environment import environment

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def promptmill(tmp_path: Path, redis_url: str) -> Command:
    """Run the command with these words upon the database at a URL."""

    def run(*words: object, database_url: str) -> subprocess.CompletedProcess[str]:
        environ = environment(
            database_url, redis_url, PYTHONPATH=str(ROOT), PROMPTMILL_HOME=str(tmp_path / "home")
        )
        return subprocess.run(
            [sys.executable, "-m", "cli", *map(str, words)],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
