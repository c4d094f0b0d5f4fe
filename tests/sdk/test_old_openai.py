"""OpenAI's SDK of the generation before passes the tests of today's, as they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mill import ROOT

ITS_OWN = ROOT / ".venv-openai2"
"""Where it is installed with all that it stands on: httpx, not httpx2."""
SUITES = (
    "sdk/test_chat.py",
    "sdk/test_files.py",
    "sdk/test_batches.py",
    "sdk/test_responses.py",
    "sdk/test_retries.py",
    "sdk/test_webhooks.py",
    "webhooks/test_delivery.py::test_ten_minutes_of_retries_later_the_sdk_still_unwraps_it",
)
PATIENCE = 300.0
"""Seconds for one of them, on a busy machine."""

pytestmark = pytest.mark.skipif(
    not ITS_OWN.exists(), reason="openai 2 is not installed: `make openai2` does it"
)


def with_its_own(*argv: str) -> str:
    """What this Python says that finds that SDK and its libraries before today's."""
    [libraries] = ITS_OWN.glob("lib/python3.*/site-packages")
    known = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        env={**known, "PYTHONPATH": str(libraries)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def test_it_is_of_the_generation_before() -> None:
    told = with_its_own("-c", "import openai, httpx; print(openai.__version__, openai.__file__)")
    version, path = told.split()
    assert version.startswith("2."), version
    assert Path(path).is_relative_to(ITS_OWN)


@pytest.mark.parametrize("suite", SUITES)
def test_it_passes_what_todays_passes(suite: str) -> None:
    told = with_its_own("-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{suite}")
    summary = told.splitlines()[-1]
    assert " passed" in summary, told
    assert "skipped" not in summary, told
