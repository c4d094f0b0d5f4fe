"""The note beside the answers says whose they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.errors import InputError
from cli.run.requests import Wish
from cli.run.sidecar import begin_or_resume, fingerprint, path_for, save

WISH = Wish(prompt="{{q}}", system=None, model="gpt-4.1-mini", max_tokens=None, temperature=None)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def test_the_same_run_goes_on_under_its_id(out: Path) -> None:
    first, resumed = begin_or_resume(out, "mark", restart=False)
    assert not resumed
    assert begin_or_resume(out, "mark", restart=False) == (first, True)


def test_restart_begins_anew(out: Path) -> None:
    first, _ = begin_or_resume(out, "mark", restart=False)
    save(out, first.model_copy(update={"finished": True}))
    second, resumed = begin_or_resume(out, "mark", restart=True)
    assert (second.run_id == first.run_id, resumed, second.finished) == (False, False, False)


def test_another_run_is_refused_with_the_way_out(out: Path) -> None:
    begin_or_resume(out, "mark", restart=False)
    with pytest.raises(InputError, match=r"another -o.*--restart"):
        begin_or_resume(out, "other", restart=False)


def test_a_note_that_is_no_note_is_refused(out: Path) -> None:
    path_for(out).write_text('{"run_id": 7}')
    with pytest.raises(InputError, match="--restart"):
        begin_or_resume(out, "mark", restart=False)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or directory"):
        begin_or_resume(tmp_path / "nowhere" / "out.jsonl", "mark", restart=False)


@pytest.mark.parametrize(
    "change",
    [{"prompt": "x"}, {"system": "x"}, {"model": "x"}, {"max_tokens": 1}, {"temperature": 0.5}],
)
def test_a_fingerprint_changes_with_each_wish(tmp_path: Path, change: dict[str, Any]) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text("{}")
    mark = fingerprint(file, WISH, rehearse=True, lane="bulk", tries=5)
    assert mark == fingerprint(file, WISH, rehearse=True, lane="bulk", tries=5)
    assert mark != fingerprint(file, replace(WISH, **change), rehearse=True, lane="bulk", tries=5)
    assert mark != fingerprint(file, WISH, rehearse=False, lane="bulk", tries=5)
    assert mark != fingerprint(file, WISH, rehearse=True, lane="bulk", tries=6)
    file.write_text("{ }")
    assert mark != fingerprint(file, WISH, rehearse=True, lane="bulk", tries=5)
