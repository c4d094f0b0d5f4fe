"""The doctor's single checks: each finds its fault and names the way out."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.doctor import machine, place
from cli.doctor.finding import Level
from cli.local.environment import Surroundings
from cli.stack.account import Account
from cli.stack.home import Home


@pytest.fixture
def told(tmp_path: Path) -> Surroundings:
    """A home of the test's own."""
    Home(tmp_path / "home").create()
    return Surroundings({"PROMPTMILL_HOME": str(tmp_path / "home")})


def test_a_package_of_another_version_than_the_lock_says_is_found(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "pytest==0.0.1 ; sys_platform == 'linux' \\\n    --hash=sha256:00\nno-such==1\n"
    )
    finding = machine.lock(lock)
    assert finding.level is Level.WARNING
    assert f"pytest {pytest.__version__} (locked: 0.0.1)" in finding.what
    assert "no-such" not in finding.what


def test_little_room_is_a_warning_and_none_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def free(gigabytes: float) -> Level:
        usage = SimpleNamespace(free=gigabytes * machine.GIGABYTE)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        return machine.disk(tmp_path / "not" / "yet").level

    assert [free(0.5), free(3), free(30)] == [Level.PROBLEM, Level.WARNING, Level.OK]


def test_a_state_that_others_can_read_is_a_problem(told: Surroundings) -> None:
    home = Home(told.options().home)
    home.update_state(pid=None)
    assert place.state(told).level is Level.OK
    home.state_file.chmod(0o644)
    finding = place.state(told)
    assert finding.level is Level.PROBLEM
    assert finding.way_out == f"chmod 600 {home.state_file}"


def test_a_lock_that_a_dead_launcher_left_is_found(told: Surroundings) -> None:
    home = Home(told.options().home)
    lock = home.take_lock()
    try:
        assert f"pid {os.getpid()}" in place.home(told).what
        os.pwrite(lock.fd, b"4194399\n", 0)  # above the highest pid there can be
        assert place.home(told).level is Level.WARNING
    finally:
        lock.release()
    assert place.home(told).level is Level.OK


def test_data_of_another_account_is_a_problem(
    told: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = told.options().home / "pg17"
    data.mkdir()
    monkeypatch.setattr("cli.doctor.place.choose_account", lambda *_: Account(12345, 12345))
    finding = place.owner(told)
    assert finding.level is Level.PROBLEM
    assert f"{data} belongs to uid {os.geteuid()}" in finding.what
    assert "would run as uid 12345" in finding.what
