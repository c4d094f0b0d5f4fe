"""Keeps an ordered set of services running: starts, restarts and stops them."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cli.stack.child import Child, last_lines, spawn
from cli.stack.errors import StartError
from cli.stack.home import Home
from cli.stack.service import Service

READY_POLL: Final = 0.05
READY_POLL_MOST: Final = 0.5
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Status(StrEnum):
    """Where a service is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILING = "failing"
    """Restarting, again and again."""
    DONE = "done"
    STOPPING = "stopping"
    STOPPED = "stopped"


DIED: Final = frozenset({Status.RESTARTING, Status.FAILING})
"""What a service is between two children."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as it is now."""

    name: str
    status: Status
    pid: int | None
    since: float | None
    """Unix time of the child's start, seconds."""
    restarts: int
    why: str = ""
    """Of a failing one: how its last child ended, with the last lines of the log."""


@dataclass(slots=True)
class _Kept:
    """One service with its child and its task."""

    service: Service
    status: Status = Status.WAITING
    child: Child | None = None
    since: float | None = None
    restarts: int = 0
    why: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """The start need not wait for it any longer."""
    task: asyncio.Task[None] | None = None

    def seen(self) -> ServiceStatus:
        pid = self.child.pid if self.child is not None else None
        name = self.service.name
        return ServiceStatus(name, self.status, pid, self.since, self.restarts, self.why)


class Supervisor:
    """Runs services in the order of their `after`; a service that dies is started again.

    `on_change` is called with each new status; it should be quick. Use it on an event loop
    of the main thread.
    """

    def __init__(
        self,
        services: Iterable[Service],
        home: Home,
        on_change: Callable[[ServiceStatus], None] = lambda _: None,
    ) -> None:
        self._kept = {service.name: _Kept(service) for service in services}
        self._home = home
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._hurry = False
        _refuse_unknown_or_circular([kept.service for kept in self._kept.values()])

    def status(self) -> tuple[ServiceStatus, ...]:
        """All services, in the order given."""
        return tuple(kept.seen() for kept in self._kept.values())

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Start all, keep them until INT, TERM or HUP or `request_stop`, stop all.

        A second signal during the stop kills what is left. Raises StartError after the stop
        when a service did not start.
        """
        with self._signals():
            try:
                await self.start()
                if not self._stopping.is_set():
                    on_ready()
                await self._stop_or_fault()
            finally:
                await self.stop()

    async def start(self) -> None:
        """Start all and wait until each is ready, or a stop is asked for."""
        for kept in self._kept.values():
            kept.task = asyncio.create_task(self._keep(kept), name=kept.service.name)
        ready = asyncio.create_task(self._all_ready())
        try:
            await self._stop_or_fault(ready)
        finally:
            ready.cancel()

    def request_stop(self) -> None:
        """Ask for the orderly stop; asked again, kill what is left."""
        if self._stopping.is_set():
            self._hurry = True
            for kept in self._kept.values():
                if kept.child is not None:
                    kept.child.kill_group()
        self._stopping.set()

    async def stop(self) -> None:
        """Stop each service after those that need it; returns when no child is left."""
        self._stopping.set()
        names = list(self._kept)
        with ThreadPoolExecutor(max_workers=len(names) or 1) as threads:
            ended = {name: asyncio.Event() for name in names}
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self._stop_one(name, ended, threads))

    async def _stop_one(
        self, name: str, ended: dict[str, asyncio.Event], threads: ThreadPoolExecutor
    ) -> None:
        for other in self._kept.values():
            if name in other.service.after:
                await ended[other.service.name].wait()
        kept = self._kept[name]
        if kept.task is not None:
            kept.task.cancel()
            with suppress(asyncio.CancelledError, Exception):  # `start` has told of it
                await kept.task
        if kept.child is not None and kept.child.returncode is None:
            self._change(kept, Status.STOPPING)
            steps = () if self._hurry else kept.service.stop
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(threads, kept.child.stop, steps)
        kept.child = None
        self._change(kept, Status.STOPPED)
        ended[name].set()

    async def _stop_or_fault(self, *enough: asyncio.Task[None]) -> None:
        """Wait for the stop, or for one of these tasks; what ends a service's task is raised."""
        stop = asyncio.create_task(self._stopping_asked())
        watched = {kept.task for kept in self._kept.values() if kept.task is not None}
        watched |= {stop, *enough}
        try:
            while not any(task.done() for task in (stop, *enough)):
                done, watched = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            stop.cancel()

    async def _stopping_asked(self) -> None:
        await self._stopping.wait()

    async def _all_ready(self) -> None:
        for kept in self._kept.values():
            await kept.settled.wait()

    async def _keep(self, kept: _Kept) -> None:
        """One service's life; ends by cancellation, or when a task is done."""
        service, failures = kept.service, 0
        for name in service.after:
            await self._kept[name].ready.wait()
        while True:
            started = time.monotonic()
            why = await self._live(kept)
            if service.once:
                return
            lasted = time.monotonic() - started if kept.status is Status.READY else 0.0
            failures = 1 if lasted > service.restart.steady else failures + 1
            kept.restarts += 1
            failing = failures > service.restart.tolerated
            kept.why = why if failing else ""
            self._change(kept, Status.FAILING if failing else Status.RESTARTING)
            await asyncio.sleep(service.restart.pause(failures))

    async def _live(self, kept: _Kept) -> str:
        """One child from its start to its end; says how it ended."""
        service = kept.service
        try:
            child = self._spawn(kept)
            await self._until_ready(kept, child)
            kept.why = ""
            self._change(kept, Status.DONE if service.once else Status.READY)
            kept.ready.set()
            kept.settled.set()
            if service.once:
                return ""
            return self._start_error(kept, f"ended {_how(await child.exited())}").message
        except StartError as error:
            if service.once or (service.vital and not kept.ready.is_set()):
                raise
            kept.settled.set()
            return error.message

    def _spawn(self, kept: _Kept) -> Child:
        try:
            kept.child = spawn(kept.service.command, self._home.log(kept.service.name))
        except OSError as error:
            message = f"{kept.service.name} cannot be started: {error}"
            raise StartError(message) from None
        kept.since = time.time()
        self._change(kept, Status.STARTING)
        return kept.child

    async def _until_ready(self, kept: _Kept, child: Child) -> None:
        """Wait for readiness; a child that ends or takes too long raises StartError."""
        service = kept.service
        try:
            async with asyncio.timeout(service.start_timeout):
                if service.once:
                    await child.exited()
                else:
                    await _poll_ready(service, child)
        except TimeoutError:
            await asyncio.to_thread(child.stop, ())
            raise self._start_error(kept, f"was not ready in {service.start_timeout:g} s") from None
        except Exception as error:
            await asyncio.to_thread(child.stop, ())
            raise self._start_error(
                kept, f"could not be asked whether it is ready ({error})"
            ) from error
        code = child.returncode
        if code is not None and not (service.once and code == 0):
            raise self._start_error(kept, f"ended {_how(code)} before it was ready")

    def _start_error(self, kept: _Kept, what: str) -> StartError:
        log = self._home.log(kept.service.name)
        message = f"{kept.service.name} {what}; its log ({log}) ends:\n{last_lines(log)}"
        return StartError(message)

    def _change(self, kept: _Kept, status: Status) -> None:
        kept.status = status
        self._on_change(kept.seen())

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.request_stop)
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)


async def _poll_ready(service: Service, child: Child) -> None:
    """Return when the service is ready or its child has ended."""
    pause = READY_POLL
    while child.returncode is None:
        with suppress(OSError):
            if await service.ready():
                return
        await asyncio.sleep(pause)
        pause = min(READY_POLL_MOST, pause * 1.2)


def _how(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with code {code}"


def _refuse_unknown_or_circular(services: list[Service]) -> None:
    done: set[str] = set()
    left = list(services)
    while left:
        free = [service for service in left if done.issuperset(service.after)]
        if not free:
            names = ", ".join(service.name for service in left)
            message = f"these services wait for each other or for an unknown one: {names}"
            raise ValueError(message)
        done.update(service.name for service in free)
        left = [service for service in left if service not in free]
