"""The bootstep that runs the engine: up after the pool, down after the consumer."""

import logging
import os
import resource
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from functools import partial
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

from celery import bootsteps, platforms, signals
from celery.exceptions import WorkerShutdown
from celery.platforms import EX_FAILURE
from celery.worker import WorkController, state
from kombu.asynchronous import Hub

from shared.collector import spare_what_stays
from shared.db.start import StartedAttempt
from shared.domain.errors import PromptmillError
from worker.queues import take_only, take_other

logger = logging.getLogger(__name__)

STDERR: Final = 2
LINE_END: Final = "\n"
START_LIMIT: Final = 60.0
"""Seconds until an engine must be up."""
STOP_LIMIT: Final = 10.0
"""Seconds for closing after the drain."""
DRAIN_GRACE: Final = 5.0
"""Seconds by which a drain may miss its limit: what it gives back must still commit."""
OPEN_FILES: Final = 65_536
"""Sockets for thousands of calls; many systems start a process with 1,024."""


class Engine(Protocol):
    """What works on attempts; every method runs on the pool's loop."""

    async def start(self) -> None:
        """Open everything; an exception ends the worker."""

    async def take(self, attempt_ids: list[str]) -> None:
        """Start these attempts and return when that is committed; repeats are harmless."""

    async def sweep(self) -> None:
        """Do the upkeep that is due."""

    async def cancel(self, job_ids: list[str]) -> None:
        """Cancel these jobs, whoever runs them, as their operator asks."""

    def flying(self) -> list[StartedAttempt]:
        """The calls in flight; from any thread."""

    async def drain(self, seconds: float) -> None:
        """Let running calls finish for so long, then give the rest back."""

    async def stop(self) -> None:
        """Close everything."""


@runtime_checkable
class Resizable(Protocol):
    """An engine whose capacity can change while it runs; called from Celery's thread."""

    def resize(self, capacity: int) -> None:
        """Allow so many calls in flight from now on."""


@runtime_checkable
class Choosy(Protocol):
    """An engine that takes work of some of its queues only, and of others later."""

    @property
    def queues(self) -> tuple[str, ...]:
        """Those that it takes work of; from its start on."""

    def on_queues(self, consume: Callable[[tuple[str, ...]], None]) -> None:
        """Have this called, on the pool's loop, when others are to be taken."""


MakeEngine = Callable[[str, tuple[str, ...], int], Engine]
"""From the worker's node name, the queues that it consumes and its capacity in calls."""


class EngineSlot:
    """Where the tasks find the engine of their process."""

    def __init__(self, make: MakeEngine, *, drain: float) -> None:
        self.make = make
        self.drain = drain
        """Seconds that running calls get at a graceful stop."""
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The running engine; RuntimeError outside a worker."""
        if self._engine is None:
            message = "no engine runs in this process"
            raise RuntimeError(message)
        return self._engine

    def fill(self, engine: Engine) -> None:
        """Set once, when the engine is up."""
        self._engine = engine


class EngineStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts, drains and stops the engine of the subclass's slot."""

    requires: ClassVar[set[str]] = {"celery.worker.components:Pool"}
    slot: ClassVar[EngineSlot]

    def __init__(self, worker: WorkController, **kwargs: object) -> None:
        super().__init__(worker, **kwargs)
        self._drain = self.slot.drain

    def start(self, worker: WorkController) -> None:
        """Start the engine; a failure is one line and ends the worker."""
        self._listen_to_signals()
        _allow_open_files()
        queues = tuple(worker.app.amqp.queues.consume_from)
        try:
            engine = self.slot.make(worker.hostname, queues, worker.concurrency)
            worker.pool.submit(engine.start()).result(START_LIMIT)
        except Exception as error:
            logger.critical("the worker cannot start: %s", _told(error))
            worker.pool.stop()
            raise WorkerShutdown(EX_FAILURE) from error
        self.slot.fill(engine)
        if isinstance(engine, Resizable):
            worker.pool.resize = engine.resize
        if isinstance(engine, Choosy):
            take_only(worker, engine.queues)
            engine.on_queues(partial(take_other, worker))
        spare_what_stays()

    def stop(self, worker: WorkController) -> None:
        """Drain within the limit, then stop; the hub keeps turning for the acknowledgements."""
        engine = self.slot.engine
        self._finish(worker, engine.drain(self._drain), self._drain + DRAIN_GRACE, "drain")
        self._finish(worker, engine.stop(), STOP_LIMIT, "stop")

    def terminate(self, worker: WorkController) -> None:
        """Stop without waiting for running calls."""
        self._drain = 0.0
        self.stop(worker)

    def _listen_to_signals(self) -> None:
        signals.worker_shutting_down.connect(self._on_shutting_down, weak=False)
        platforms.signals["SIGQUIT"] = self._on_quit

    def _on_shutting_down(self, **_: object) -> None:
        for name in ("SIGTERM", "SIGQUIT", "SIGINT"):
            platforms.signals[name] = _end_at_once

    def _on_quit(self, *_: object) -> None:
        self._drain = 0.0
        state.should_stop = EX_FAILURE
        self._on_shutting_down()

    def _finish(
        self, worker: WorkController, work: Coroutine[Any, Any, None], limit: float, what: str
    ) -> None:
        """Wait for the engine while the hub serves acknowledgements and late messages."""
        future = worker.pool.submit(work)
        # The hub may sleep for a second; waking it ends the wait at once.
        future.add_done_callback(lambda _: worker.hub.call_soon(_nothing))
        deadline = time.monotonic() + limit
        turning = True
        while not future.done() and (left := deadline - time.monotonic()) > 0:
            if turning:
                turning = _turn(worker.hub)
            else:
                wait([future], left)
        try:
            future.result(0)
        except TimeoutError:
            future.cancel()
            logger.error("the engine did not %s within %.0f s", what, limit)  # noqa: TRY400
        except Exception:
            logger.exception("the engine failed to %s", what)


def engine_step(slot: EngineSlot) -> type[EngineStep]:
    """Make the bootstep of this slot, for `app.steps["worker"]`."""
    return type("EngineStep", (EngineStep,), {"slot": slot, "name": "engine"})


def _turn(hub: Hub) -> bool:
    """One turn of the hub; False when the broker is away and turning helps nobody."""
    try:
        hub.run_once()
    except Exception as error:  # noqa: BLE001 - any failure of the broker means the same here
        logger.warning("the broker is away during the stop (%s)", type(error).__name__)
        return False
    return True


def _nothing() -> None:
    """Give the hub something to wake for."""


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _end_at_once(*_: object) -> None:
    """End on the second signal: leases in Postgres cover whatever was running."""
    os.write(STDERR, b"worker: told twice to end, ending now\n")
    os._exit(EX_FAILURE)


def _told(error: Exception) -> str:
    if isinstance(error, PromptmillError):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"the engine was not up within {START_LIMIT:.0f} s"
    # Drivers append hints and links on lines of their own.
    return f"{type(error).__name__}: {str(error).partition(LINE_END)[0]}"
