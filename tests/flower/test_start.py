"""Flower does not start as a window that anybody may look through."""

import subprocess
import sys

import pytest

from tests.environment import environment
from tests.mill import ROOT

SECRET = "no colon and so no password"


@pytest.mark.parametrize("told", [{}, {"FLOWER_BASIC_AUTH": SECRET}], ids=["nothing", "no colon"])
def test_it_refuses_to_start_without_a_user_and_a_password(told: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker.flower", "flower"],
        cwd=ROOT,
        env=environment("", "redis://127.0.0.1:1/0", **told),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "FLOWER_BASIC_AUTH" in ended.stderr
    assert "USER:PASSWORD" in ended.stderr
    assert SECRET not in ended.stderr
    assert "Traceback" not in ended.stderr
