"""Promises of a single child, of its log and of the reaper that stands in for death signals."""

import asyncio
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from cli.stack import child as child_module
from cli.stack.child import Command, last_lines, spawn
from cli.stack.home import Home
from cli.stack.logs import follow
from tests.stack.launchers import Launchers, alive, until

ON_A_SYSTEM_WITHOUT_DEATH_SIGNALS = """
import os, sys
from pathlib import Path
from cli.stack import child
child.LINUX = False
del os.pidfd_open
sleep = child.Command(argv=("/bin/sleep", "600"), env={})
stubborn = child.Command(argv=("/bin/sh", "-c", "trap '' TERM; exec sleep 600"), env={})
log = Path(sys.argv[1]) / "log"
first, second, third = (child.spawn(command, log) for command in (sleep, stubborn, sleep))
third.stop()
child.reaper().remove(Path(sys.argv[1]) / "scratch")
print("pids", first.pid, second.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def shell(script: str) -> Command:
    return Command(argv=("/bin/sh", "-c", script), env={"PATH": os.defpath, "SHOWN": "yes"})


async def test_a_child_has_its_own_session_no_input_and_only_its_environment(home: Home) -> None:
    running = spawn(shell("cat; env; exec sleep 600"), home.log("one"))
    until(lambda: "SHOWN=yes" in last_lines(home.log("one")), "its environment is in its log")
    assert os.getsid(running.pid) == running.pid
    assert "HOME=" not in last_lines(home.log("one"))
    assert running.returncode is None
    running.send(signal.SIGTERM)
    assert await running.exited() == -signal.SIGTERM
    assert running.stop() == -signal.SIGTERM


def test_a_child_that_stands_still_hears_the_stop(home: Home) -> None:
    running = spawn(shell("exec sleep 600"), home.log("still"))
    running.send(signal.SIGSTOP)
    assert running.stop(((signal.SIGTERM, 5.0),)) == -signal.SIGTERM


def test_the_log_is_closed_to_others_and_appended_to(home: Home) -> None:
    for word in ("first", "second"):
        assert spawn(shell(f"echo {word}"), home.log("log")).wait(5)
    assert home.log("log").read_text() == "first\nsecond\n"
    assert home.log("log").stat().st_mode & 0o777 == 0o600
    assert last_lines(home.log("log"), count=1) == "second"
    assert last_lines(home.log("none")) == ""


def test_a_long_log_is_set_aside(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "LOG_LIMIT", 4)
    for word in ("first", "second"):
        assert spawn(shell(f"echo {word}"), home.log("log")).wait(5)
    assert home.log("log").read_text() == "second\n"
    assert (home.logs / "log.old.log").read_text() == "first\n"


def test_another_thread_may_not_start_children(home: Home) -> None:
    refusals: list[str] = []

    def attempt() -> None:
        try:
            spawn(shell("exit"), home.log("thread"))
        except RuntimeError as error:
            refusals.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert refusals == ["children are started from the main thread only"]


async def test_new_lines_are_passed_on_whole_and_named(home: Home) -> None:
    log, told, news = home.log("api"), list[tuple[str, str]](), asyncio.Event()

    def write(name: str, line: str) -> None:
        told.append((name, line))
        news.set()

    log.write_text("old\nhalf of ")
    following = asyncio.create_task(follow({"api": log, "worker": home.log("worker")}, write))
    await asyncio.sleep(0)
    with log.open("a") as file:
        file.write("a line\nand ")
    await asyncio.wait_for(news.wait(), 5)
    log.write_text("new\n")
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert told == [("api", "a line"), ("api", "new")]


def test_the_reaper_ends_children_and_removes_folders_after_a_kill(
    launchers: Launchers, folder: Path
) -> None:
    scratch = folder / "scratch"
    (scratch / "deep").mkdir(parents=True)
    launcher = launchers.start(ON_A_SYSTEM_WITHOUT_DEATH_SIGNALS, folder)
    pids = launcher.pids()
    until(lambda: not any(map(alive, pids)), "the children are gone")
    until(lambda: not scratch.exists(), "the folder is gone")
