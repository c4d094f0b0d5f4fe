"""Promises of the supervisor, kept with small children."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.stack.child import Command
from cli.stack.errors import StartError
from cli.stack.home import Home
from cli.stack.service import Ready, Restart, Service
from cli.stack.supervisor import ServiceStatus, Status, Supervisor
from tests.stack.launchers import Launchers, alive, until

FAST = Restart(first=0.05, factor=2, most=0.4)
STUBBORN = "trap '' TERM; touch {flag}; while :; do sleep 0.1; done"

FAMILY = """
import asyncio, sys
from pathlib import Path
from cli.stack.child import Command
from cli.stack.home import Home
from cli.stack.service import Service
from cli.stack.supervisor import Supervisor
home = Home(Path(sys.argv[1]))
home.create()
def shell(name, script, *after):
    return Service(name=name, command=Command(argv=("/bin/sh", "-c", script), env={}), after=after)
services = (
    shell("ground", "exec sleep 600"),
    shell("middle", "trap '' INT; exec sleep 600", "ground"),
    shell("roof", "exec sleep 600", "middle"),
)
told = lambda seen: print(seen.name, seen.status, flush=True)
supervisor = Supervisor(services, home, told)
pids = lambda: print("pids", *(seen.pid for seen in supervisor.status()), flush=True)
asyncio.run(supervisor.run(pids))
"""


def shell(name: str, script: str, **more: Any) -> Service:  # any of its fields
    command = Command(argv=("/bin/sh", "-c", script), env={"PATH": os.defpath})
    return Service(name=name, command=command, **{"restart": FAST, **more})


def file_exists(path: Path) -> Ready:
    async def ready() -> bool:
        return path.exists()

    return ready


class Story:
    """What a supervisor told, with times."""

    def __init__(self) -> None:
        self.seen: list[ServiceStatus] = []
        self.times: list[float] = []
        self._news = asyncio.Condition()

    def __call__(self, status: ServiceStatus) -> None:
        self.seen.append(status)
        self.times.append(time.monotonic())

    async def tells(self, name: str, status: Status, times: int = 1) -> ServiceStatus:
        """Wait until this has been told so often."""
        async with asyncio.timeout(10):
            while True:
                found = [seen for seen in self.seen if (seen.name, seen.status) == (name, status)]
                if len(found) >= times:
                    return found[times - 1]
                await asyncio.sleep(0.01)

    def moments(self, name: str, status: Status) -> list[float]:
        pairs = zip(self.seen, self.times, strict=True)
        return [at for seen, at in pairs if (seen.name, seen.status) == (name, status)]


async def test_a_service_starts_when_those_before_it_are_ready(home: Home) -> None:
    flag, story = home.root / "flag", Story()
    slow = shell("slow", f"sleep 0.3; touch {flag}; exec sleep 600", ready=file_exists(flag))
    supervisor = Supervisor([shell("late", "exec sleep 600", after=("slow",)), slow], home, story)
    await supervisor.start()
    await supervisor.stop()
    order = [(seen.name, seen.status) for seen in story.seen]
    assert order.index(("slow", Status.READY)) < order.index(("late", Status.STARTING))
    assert order.index(("late", Status.STOPPED)) < order.index(("slow", Status.STOPPING))


async def test_a_child_that_dies_is_started_again_after_growing_pauses(home: Home) -> None:
    story = Story()
    supervisor = Supervisor([shell("weak", "sleep 0.02")], home, story)
    await supervisor.start()
    again = await story.tells("weak", Status.STARTING, times=5)
    await supervisor.stop()
    died = story.moments("weak", Status.RESTARTING) + story.moments("weak", Status.FAILING)
    started = story.moments("weak", Status.STARTING)
    pauses = [start - death for death, start in zip(died, started[1:], strict=False)]
    assert again.restarts == 4
    for pause, least in zip(pauses[:4], (0.05, 0.1, 0.2, 0.4), strict=True):
        assert least <= pause + 0.005 < least + 1


async def test_what_dies_at_once_again_and_again_is_called_failing_and_others_go_on(
    home: Home,
) -> None:
    story = Story()
    weak = shell(
        "weak", "echo out of luck; exit 3", vital=False, ready=file_exists(home.root / "x")
    )
    supervisor = Supervisor([shell("good", "exec sleep 600"), weak], home, story)
    await supervisor.start()
    failing = await story.tells("weak", Status.FAILING)
    good, _ = supervisor.status()
    await supervisor.stop()
    assert failing.restarts == 3
    assert "weak ended with code 3" in failing.why
    assert failing.why.endswith("out of luck")
    assert (good.status, good.restarts) == (Status.READY, 0)


def test_the_pauses_are_capped() -> None:
    assert [FAST.pause(failures) for failures in (1, 2, 3, 4, 5, 1000)] == [
        0.05, 0.1, 0.2, 0.4, 0.4, 0.4,
    ]  # fmt: skip


async def test_a_killed_child_is_replaced_and_its_own_children_go_with_it(home: Home) -> None:
    family, story = home.root / "family", Story()
    parent = shell("parent", f"sleep 600 & echo $! > {family}; wait", ready=file_exists(family))
    supervisor = Supervisor([parent], home, story)
    await supervisor.start()
    first, orphan = supervisor.status()[0].pid, int(family.read_text())
    assert first is not None
    os.kill(first, signal.SIGKILL)
    second = (await story.tells("parent", Status.READY, times=2)).pid
    assert second != first
    assert not alive(orphan)
    await supervisor.stop()
    assert second is not None
    assert not alive(second)


async def test_a_child_that_ends_before_it_is_ready_fails_the_start_with_its_last_words(
    home: Home,
) -> None:
    broken = shell("broken", "echo cannot find the thing; exit 3", ready=file_exists(Path("/no")))
    supervisor = Supervisor([shell("good", "exec sleep 600"), broken], home)
    with pytest.raises(StartError, match=r"broken ended with code 3(.|\n)*cannot find the thing"):
        await supervisor.run()
    assert {seen.status for seen in supervisor.status()} == {Status.STOPPED}


async def test_a_child_that_is_never_ready_fails_the_start_in_time(home: Home) -> None:
    mute = shell("mute", "exec sleep 600", ready=file_exists(Path("/no")), start_timeout=0.3)
    with pytest.raises(StartError, match=r"mute was not ready in 0\.3 s"):
        await Supervisor([mute], home).run()


async def test_a_program_that_is_not_there_fails_the_start(home: Home) -> None:
    absent = Service(name="absent", command=Command(argv=("/no/program",), env={}))
    with pytest.raises(StartError, match="absent cannot be started"):
        await Supervisor([absent], home).run()


async def test_readiness_that_raises_fails_the_start_and_leaves_no_child(home: Home) -> None:
    async def raises() -> bool:
        message = "no such thing"
        raise ValueError(message)

    story = Story()
    with pytest.raises(StartError, match="no such thing"):
        await Supervisor([shell("odd", "exec sleep 600", ready=raises)], home, story).run()
    assert not any(alive(seen.pid) for seen in story.seen if seen.pid is not None)


async def test_a_task_runs_once_before_those_after_it(home: Home) -> None:
    flag = home.root / "migrated"
    task = shell("task", f"sleep 0.1; touch {flag}", once=True)
    needs = shell("needs", f"test -f {flag} && exec sleep 600", after=("task",))
    supervisor = Supervisor([task, needs], home)
    await supervisor.start()
    assert [seen.status for seen in supervisor.status()] == [Status.DONE, Status.READY]
    await supervisor.stop()


async def test_a_task_that_fails_fails_the_start(home: Home) -> None:
    with pytest.raises(StartError, match=r"task ended with code 7(.|\n)*bad revision"):
        await Supervisor([shell("task", "echo bad revision; exit 7", once=True)], home).run()


async def test_a_stubborn_child_is_killed_when_its_signals_are_used_up(home: Home) -> None:
    flag, steps = home.root / "trapped", ((signal.SIGTERM, 0.2),)
    script = STUBBORN.format(flag=flag)
    stubborn = shell("stubborn", script, ready=file_exists(flag), stop=steps)
    supervisor = Supervisor([stubborn], home)
    await supervisor.start()
    began = time.monotonic()
    await supervisor.stop()
    assert 0.2 <= time.monotonic() - began < 2


async def test_a_second_request_to_stop_kills_at_once(home: Home) -> None:
    flag, story = home.root / "trapped", Story()
    stubborn = shell("stubborn", STUBBORN.format(flag=flag), ready=file_exists(flag))
    supervisor = Supervisor([stubborn], home, story)
    running = asyncio.create_task(supervisor.run())
    await story.tells("stubborn", Status.READY)
    began = time.monotonic()
    supervisor.request_stop()
    await story.tells("stubborn", Status.STOPPING)
    supervisor.request_stop()
    await running
    assert time.monotonic() - began < 5


async def test_a_stop_during_the_start_ends_what_has_started(home: Home) -> None:
    story = Story()
    mute = shell("mute", "exec sleep 600", ready=file_exists(Path("/no")))
    supervisor = Supervisor([mute], home, story)
    running = asyncio.create_task(supervisor.run())
    pid = (await story.tells("mute", Status.STARTING)).pid
    supervisor.request_stop()
    await running
    assert pid is not None
    assert not alive(pid)


def test_services_that_wait_for_each_other_are_refused(home: Home) -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        Supervisor([shell("a", "", after=("b",)), shell("b", "", after=("a",))], home)
    with pytest.raises(ValueError, match="unknown"):
        Supervisor([shell("a", "", after=("nobody",))], home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_in_reverse_order(
    launchers: Launchers, folder: Path, number: signal.Signals
) -> None:
    launcher = launchers.start(FAMILY, folder / "home")
    pids = launcher.pids()
    launcher.process.send_signal(number)
    stopped = [line.split()[0] for line in launcher.rest() if line.endswith(" stopped")]
    assert stopped == ["roof", "middle", "ground"]
    assert launcher.process.returncode == 0
    assert not any(map(alive, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no death signals")
def test_a_killed_launcher_leaves_no_child(launchers: Launchers, folder: Path) -> None:
    launcher = launchers.start(FAMILY, folder / "home")
    pids = launcher.pids()
    launcher.process.kill()
    until(lambda: not any(map(alive, pids)), "the children are gone")
