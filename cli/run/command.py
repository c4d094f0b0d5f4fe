"""`promptmill run`: a file of prompts in, the answers in its order out."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, Final

from cli import client
from cli.errors import InputError, stderr
from cli.local.running import Address, find_running
from cli.local.stack import Want, local_stack
from cli.run.audit import simulator_bill
from cli.run.order import Order, checked_prompts, request_of, wish_for, wishes_beside
from cli.run.progress import Meterstick, Standing
from cli.run.reader import Format, PromptFile
from cli.run.requests import Row
from cli.run.sidecar import Sidecar, begin_or_resume, fingerprint, path_for, save
from cli.run.submit import MakeLine, submit
from cli.run.writer import Written, write_answers
from cli.server.address import Server
from cli.stack.supervisor import DIED, ServiceStatus
from shared.domain.errors import UnavailableError

POLL_SECONDS: Final = 0.4
OUTAGE_SECONDS: Final = 60.0
"""How long the API may be away before a run gives up; accepted work goes on meanwhile."""


@dataclass(slots=True)
class Report:
    """How a run went."""

    run_id: str
    out: Path
    total: int
    written: Written
    rehearse: bool
    resumed: bool
    seconds: dict[str, float] = field(default_factory=dict)
    simulator_nano: int | None = None
    already_finished: bool = False
    blank: int = 0
    """Lines of the input that said nothing."""


def execute(order: Order) -> Report:
    """Check everything, then run it. Raises PromptmillError for what the user can mend.

    KeyboardInterrupt leaves accepted work where the same command finds it again.
    """
    order = replace(order, wish=wish_for(order.file, order.wish))
    prompts = checked_prompts(order)
    mark = fingerprint(order.file, order.wish, **wishes_beside(order))
    sidecar, resumed = begin_or_resume(order.out, mark, restart=order.restart)
    if sidecar.finished and order.out.exists():
        return Report(
            sidecar.run_id, order.out, len(prompts), Written(), order.rehearse, resumed,
            already_finished=True, blank=prompts.blank,
        )  # fmt: skip
    try:
        return asyncio.run(_run(order, prompts, sidecar, resumed=resumed))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except UnavailableError as error:
        message = f"{error.message} for {OUTAGE_SECONDS:.0f} s; {interrupted_note(order)}"
        raise UnavailableError(message) from None


async def _run(order: Order, prompts: PromptFile, sidecar: Sidecar, *, resumed: bool) -> Report:
    """The story of a run: stack, submit, watch, write, stop."""
    watch = _Stopwatch()
    async with _place(order) as (server, address), _connected(server) as api:
        watch.lap("start")
        job_ids = await submit(prompts, _line_maker(order, prompts.format, sidecar.run_id), api)
        watch.lap("submit")
        await _watch(len(prompts), sidecar.run_id, api, quiet=order.quiet)
        watch.lap("answer")
        written = await write_answers(prompts, job_ids, api.results(sidecar.run_id), order.out)
        save(order.out, sidecar.model_copy(update={"finished": True}))
        audit = order.rehearse and address
        bill = await simulator_bill(audit, sidecar.run_id) if audit else None
        watch.lap("write")
    watch.lap("stop")
    return Report(
        sidecar.run_id, order.out, len(prompts), written, order.rehearse, resumed,
        watch.laps, bill, blank=prompts.blank,
    )  # fmt: skip


@asynccontextmanager
async def _place(order: Order) -> AsyncIterator[tuple[Server, Address | None]]:
    """Where the run goes: the server that was named, or a stack of this machine."""
    if order.server is not None:
        _stop_politely()
        yield order.server, None
        return
    async with _stack(order) as address:
        yield Server(url=address.api_url, key=address.api_key), address


@asynccontextmanager
async def _stack(order: Order) -> AsyncIterator[Address]:
    """The running stack of this home, or one of our own for the time of the run."""
    _stop_politely()
    running = find_running()
    if running is not None:
        if order.rehearse and not running.simulator:
            message = "the running stack has no simulator: start it by `promptmill up --simulator`"
            raise InputError(message)
        yield running
        return
    want = Want(command="run", simulator=order.rehearse)
    async with local_stack(want, _tell_restart) as (address, _):
        yield address


def _tell_restart(status: ServiceStatus) -> None:
    """A run that stands still because something dies again and again shall say so."""
    if status.status in DIED:
        again = f"{status.name} ended and is started again ({status.restarts})"
        stderr.print(f"  {again}; its log is in the home's folder `logs`", markup=False)


def _line_maker(order: Order, line_format: Format, run_id: str) -> MakeLine:
    def make(row: Row, number: int) -> dict[str, Any]:
        return {
            "request": request_of(row, line_format, order.wish),
            "lane": order.lane,
            "max_tries": order.tries,
            "batch": run_id,
            "rehearse": order.rehearse,
            "metadata": {"line": str(number)},
            "idempotency_key": f"{run_id}:{number}",
        }

    return make


async def _watch(total: int, run_id: str, api: client.Client, *, quiet: bool) -> None:
    """Show how it goes until every job has ended."""
    with Meterstick(total, quiet=quiet) as meterstick:
        while True:
            asked = monotonic()
            summary = await api.summary(run_id)
            standing = Standing(total, summary["counts"], summary["cost"]["nano_usd"])
            meterstick.show(standing)
            if standing.ended >= total:
                return
            # Counting a large run takes a while: the API shall not be kept busy by it.
            await asyncio.sleep(max(POLL_SECONDS, 5 * (monotonic() - asked)))


def _stop_politely() -> None:
    """TERM and HUP end a run as Ctrl-C does: the stack is stopped in order."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel if task else sys.exit)


def _connected(server: Server) -> AbstractAsyncContextManager[client.Client]:
    return client.connect(server.url, server.key, patience=OUTAGE_SECONDS)


class _Stopwatch:
    """Seconds of each phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._at = monotonic()

    def lap(self, name: str) -> None:
        """The phase of that name ends now."""
        now = monotonic()
        self.laps[name], self._at = now - self._at, now


def interrupted_note(order: Order) -> str:
    """What Ctrl-C says."""
    note = path_for(order.out).name
    return (
        "stopped; what was accepted is kept and no answer is lost. "
        f"The same command goes on where this one stopped (see {note})"
    )
