"""Promises of the folder that holds a stack."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cli.stack.account import OURSELVES
from cli.stack.errors import AlreadyRunningError, StackError
from cli.stack.home import Home, ServiceState
from cli.stack.options import ROOT_HOME, read_options


def test_the_state_is_read_back_and_closed_to_others(home: Home) -> None:
    assert home.read_state().pid is None
    home.update_state(pid=7, services={"api": ServiceState(status="ready", pid=8)})
    home.update_state(extra={"api_port": 8000})
    state = home.read_state()
    assert (state.pid, state.services["api"].pid, state.extra) == (7, 8, {"api_port": 8000})
    assert home.state_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.root.glob(".state-*")] == []


def test_a_state_that_is_not_ours_is_refused_in_words(home: Home) -> None:
    home.state_file.write_text("{")
    with pytest.raises(StackError, match=r"state\.json cannot be understood: remove it"):
        home.read_state()


def test_a_home_that_cannot_be_made_is_refused_in_words(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(StackError, match="PROMPTMILL_HOME"):
        Home(folder / "file" / "home").create()


def test_a_folder_that_was_there_keeps_its_mode(folder: Path) -> None:
    folder.chmod(0o755)
    Home(folder).create()
    assert folder.stat().st_mode & 0o777 == 0o755


def test_the_lock_is_refused_while_its_taker_lives(home: Home) -> None:
    lock = home.take_lock()
    assert home.launcher() == os.getpid()
    with pytest.raises(AlreadyRunningError, match=rf"already running here \(pid {os.getpid()},"):
        home.take_lock()
    lock.release()
    assert home.launcher() is None
    home.take_lock().release()


def test_the_lock_waits_for_the_servers_of_a_dead_launcher(home: Home) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    home.lock_file.write_text(f"{dead.pid}\n")
    held = os.open(home.lock_file, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert home.launcher() is None
    with pytest.raises(AlreadyRunningError, match="a launcher that died"):
        home.take_lock(patience=0.1)
    leaving = threading.Timer(0.2, os.close, [held])
    leaving.start()
    home.take_lock().release()
    leaving.join()


def test_a_deep_home_has_its_socket_elsewhere_and_refuses_a_strangers_folder(
    folder: Path,
) -> None:
    deep = Home(folder / ("deep" * 25))
    deep.create()
    sockets = deep.sockets(OURSELVES)
    assert sockets.is_relative_to("/tmp")
    assert sockets.stat().st_mode & 0o777 == 0o700
    assert sockets == deep.sockets(OURSELVES)
    sockets.rmdir()
    sockets.symlink_to(folder)
    with pytest.raises(StackError, match="belongs to somebody else"):
        deep.sockets(OURSELVES)
    sockets.unlink()


def test_the_environment_says_where_the_home_is(folder: Path) -> None:
    options = read_options({"PROMPTMILL_HOME": str(folder), "DATABASE_URL": " ", "REDIS_URL": "r"})
    assert (options.home, options.database_url, options.redis_url) == (folder, None, "r")
    default = read_options({}).home
    assert default == ROOT_HOME if os.geteuid() == 0 else default.name == "promptmill"
