"""What docs/openai.md shows is what happens."""

import re
from http import HTTPStatus
from typing import Any

import pytest

from api.errors import FAULTS
from shared.faces.faults import OF_A_JOB
from tests.house.source import ROOT
from tests.sdk.conftest import Stack

PAPER = (ROOT / "docs/openai.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAPER, re.DOTALL)


def test_its_snippets_run(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMPTMILL_URL", stack.url)
    monkeypatch.setenv("PROMPTMILL_KEY", stack.key)
    names: dict[str, Any] = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "docs/openai.md", "exec"), names)
    told = capsys.readouterr().out
    assert "left out: logit_bias" in told
    assert "invalid_request n req_" in told


def test_it_names_every_status_and_openais_own_codes() -> None:
    faults = [*FAULTS.values(), *OF_A_JOB.values()]
    table = PAPER.partition("## Errors")[2].partition("## Retries")[0]
    named = {int(each) for each in re.findall(r"\b[45]\d\d\b", table)}
    beside = {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
    assert {fault.status for fault in faults} - beside <= named
    assert all(f"`{fault.code}`" in table for fault in faults if fault.code)
