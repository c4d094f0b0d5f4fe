"""docker-compose.yml as the real Compose reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ENTRYPOINT = "/opt/promptmill/deploy/entrypoint.sh"
"""Where deploy/Dockerfile puts deploy/entrypoint.sh."""


def run(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command with no more of our environment than PATH."""
    return subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def compose(*words: object) -> subprocess.CompletedProcess[str]:
    """`docker compose` with these words; it needs no engine to read and check."""
    return run(BIN / "docker-compose", *words)


def make_env(folder: Path) -> Path:
    """A file for `--env-file`, made as README says."""
    path = folder / "env"
    made = run(ROOT / "deploy" / "make-env", path)
    assert made.returncode == 0, made.stderr
    return path


def composed(env_file: Path) -> dict[str, Any]:
    """Everything, of every profile, with variables filled in."""
    told = compose("--env-file", env_file, "--profile", "*", "config", "--format", "json")
    assert told.returncode == 0, told.stderr
    everything: dict[str, Any] = json.loads(told.stdout)
    return everything
