"""Where a run goes: the server that was named, or a stack of this machine."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from cli import client
from cli.errors import InputError, stderr
from cli.local.running import Address, find_running
from cli.local.stack import Want, local_stack
from cli.server.address import Server
from cli.stack.supervisor import DIED, ServiceStatus

OUTAGE_SECONDS: Final = 60.0
"""How long the API may be away before a run gives up; accepted work goes on meanwhile."""


@asynccontextmanager
async def place(
    server: Server | None, *, rehearse: bool
) -> AsyncIterator[tuple[Server, Address | None]]:
    """The server, and the stack behind it where that is this machine's."""
    _stop_politely()
    if server is not None:
        yield server, None
        return
    async with _stack(rehearse=rehearse) as address:
        yield Server(url=address.api_url, key=address.api_key), address


def connected(server: Server) -> AbstractAsyncContextManager[client.Client]:
    """A client that waits for an API which is away."""
    return client.connect(server.url, server.key, patience=OUTAGE_SECONDS)


@asynccontextmanager
async def _stack(*, rehearse: bool) -> AsyncIterator[Address]:
    """The running stack of this home, or one of our own for the time of the run."""
    running = find_running()
    if running is not None:
        if rehearse and not running.simulator:
            message = "the running stack has no simulator: start it by `promptmill up --simulator`"
            raise InputError(message)
        yield running
        return
    want = Want(command="run", simulator=rehearse)
    async with local_stack(want, _tell_restart) as (address, _):
        yield address


def _tell_restart(status: ServiceStatus) -> None:
    """A run that stands still because something dies again and again shall say so."""
    if status.status in DIED:
        again = f"{status.name} ended and is started again ({status.restarts})"
        stderr.print(f"  {again}; its log is in the home's folder `logs`", markup=False)


def _stop_politely() -> None:
    """TERM and HUP end a run as Ctrl-C does: the stack is stopped in order."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel if task else sys.exit)
