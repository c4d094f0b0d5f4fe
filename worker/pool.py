"""The Celery pool whose tasks are coroutines on one event loop in a thread of its own."""

import asyncio
import inspect
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar, Final, TypeVar

import uvloop
from billiard.einfo import ExceptionInfo
from celery.app.task import Context, Task
from celery.app.trace import TraceInfo
from celery.concurrency.base import BasePool, apply_target
from celery.exceptions import Ignore, Reject, Retry
from celery.states import FAILURE
from celery.utils.saferepr import saferepr

logger = logging.getLogger(__name__)
T = TypeVar("T")

SYNC_THREADS: Final = 4
"""For plain functions: upkeep, never a provider's call."""
CANCEL_LIMIT: Final = 2.0
"""Seconds that cancelled bodies get to end when the pool stops."""
OUTCOMES: Final = (Reject, Ignore, Retry)
"""Not failures: Celery's own words for what shall become of the message."""


class Running:
    """One message at work; Celery keeps a weak reference and may call `terminate`."""

    __slots__ = ("__weakref__", "_stop")

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop

    def terminate(self, signal: int | None = None) -> None:  # noqa: ARG002 - Celery's signature
        """Cancel the body; a plain function that has begun cannot be stopped."""
        self._stop()


class AsyncioPool(BasePool):  # type: ignore[misc]
    """Coroutine bodies run as tasks on one loop, plain functions in a few threads.

    `limit` (`-c`) counts calls in flight and is the engine's business; it does not bound
    the bodies here, which are as many as the consumer's window lets through. Inside a
    coroutine body `task.request` is not set: Celery keeps it by thread.
    """

    signal_safe: ClassVar[bool] = False
    body_can_be_buffer: ClassVar[bool] = True

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.resize: Callable[[int], None] | None = None
        """Tells the engine a new limit; None where the limit is fixed."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._threads = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="sync-task")
        self._running: set[Running] = set()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the pool's loop from any other thread."""
        if self._loop is None:
            work.close()
            message = "the pool does not run"
            raise RuntimeError(message)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def on_start(self) -> None:
        """Start the loop's thread."""
        loop = self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(
            target=_turn, args=(loop,), name="asyncio-pool", daemon=True
        )
        self._thread.start()

    def on_stop(self) -> None:
        """Cancel what still runs, unacknowledged, and end the loop; safe to repeat."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(CANCEL_LIMIT + 1)
        except TimeoutError:
            logger.error("the loop does not answer; it is left behind")  # noqa: TRY400
            return
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(CANCEL_LIMIT)

    on_terminate = on_stop

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: object,
    ) -> Running:
        """Take a message over from the consumer, on the hub's thread; never blocks.

        `args` are those of Celery's tracer: name, id, request, body, content type and encoding.
        """
        task = self.app.tasks.get(args[0])
        begun: Future[Any]
        if task is not None and inspect.iscoroutinefunction(task.run):
            if accept_callback is not None:
                accept_callback(os.getpid(), time.monotonic())
            begun = self.submit(_run_body(task, args[2], callback))
        else:
            begun = self._threads.submit(
                apply_target, target, args, kwargs, callback, accept_callback
            )
        running = Running(begun.cancel)
        self._running.add(running)
        begun.add_done_callback(lambda _: self._running.discard(running))
        return running

    def grow(self, n: int = 1) -> None:
        """Allow n more calls in flight."""
        self._resize(self.limit + n)

    def shrink(self, n: int = 1) -> None:
        """Allow n fewer calls in flight; those that run go on."""
        self._resize(self.limit - n)

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Do nothing: Celery also calls `Running.terminate` of that very message."""

    def _get_info(self) -> dict[str, Any]:
        return {
            **super()._get_info(),
            "processes": [os.getpid()],
            "threads": SYNC_THREADS,
            "messages": len(self._running),
        }

    def _resize(self, limit: int) -> None:
        if self.resize is None:
            message = "this worker's number of calls in flight is fixed; restart it with another -c"
            raise ValueError(message)
        if limit < 1:
            message = f"a worker needs room for at least one call, not for {limit}"
            raise ValueError(message)
        self.resize(limit)
        self.limit = limit


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CANCEL_LIMIT)


async def _run_body(
    task: Task, request: dict[str, Any], callback: Callable[..., Any] | None
) -> None:
    """Await a task's body and tell Celery how it ended; a cancelled one tells nothing.

    Whoever cancels knows: Celery has already announced a revoked message, and a message
    that the stopping pool gives up stays unacknowledged and goes back to its queue.
    """
    started = time.monotonic()
    try:
        result = await task.run(*request["args"], **request["kwargs"])
        outcome = (0, saferepr(result), time.monotonic() - started)
    except asyncio.CancelledError as error:
        if _cancelled_from_outside():
            raise
        outcome = (1, _failure(task, request, error), 0.0)
    except OUTCOMES:
        outcome = (1, ExceptionInfo(internal=True), 0.0)
    except Exception as error:  # noqa: BLE001 - the boundary: Celery's rules decide from here
        outcome = (1, _failure(task, request, error), 0.0)
    if callback is None:
        return
    try:
        callback(outcome)
    except Exception:
        logger.exception("the outcome of %s was not taken", task.name)


def _cancelled_from_outside() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _failure(task: Task, request: dict[str, Any], error: BaseException) -> ExceptionInfo:
    """Log the failure and tell its listeners, as Celery's own tracer does."""
    info = TraceInfo(FAILURE, error)
    return info.handle_failure(task, Context(request), store_errors=False, call_errbacks=False)
