"""Listening, routing, and stopping with the ledger written."""

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from simulator import wire
from simulator.answers import count_prompt
from simulator.control import Control
from simulator.http import Connection, Handler, Request, Response
from simulator.provider import Provider

BACKLOG: Final = 4096
LOG: Final = logging.getLogger("simulator")


def routes(provider: Provider) -> Mapping[tuple[str, str], Handler]:
    """Method and path to handler."""
    control = Control(provider)
    return {
        ("POST", "/v1/chat/completions"): provider.chat,
        ("GET", "/v1/models"): provider.models,
        ("GET", "/_sim/stats"): control.stats,
        ("POST", "/_sim/script"): control.script,
        ("POST", "/_sim/limits"): control.limits,
        ("POST", "/_sim/reset"): control.reset,
    }


async def serve(provider: Provider, host: str, port: int, ready_file: Path | None) -> None:
    """Listen, tell where, and stop on SIGINT or SIGTERM. Raises OSError if it cannot."""
    stop, connections = asyncio.Event(), set[Connection]()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    handler = _handler(provider)
    server = await loop.create_server(
        lambda: Connection(handler, connections), host, port, backlog=BACKLOG
    )
    count_prompt([""])  # the vocabulary is loaded before the first call, not under it
    _announce(f"http://{host}:{server.sockets[0].getsockname()[1]}", ready_file)
    await stop.wait()
    server.close()
    under_way = [task for connection in list(connections) if (task := connection.close())]
    await asyncio.gather(*under_way, return_exceptions=True)
    await provider.ledger.close()


def _handler(provider: Provider) -> Handler:
    table = routes(provider)

    async def handle(request: Request) -> Response:
        handler = table.get((request.method, request.path))
        if handler is None:
            message = f"Invalid URL ({request.method} {request.path})"
            return wire.invalid(404, message, code="unknown_url")
        try:
            return await handler(request)
        except Exception as problem:
            LOG.exception("%s %s failed", request.method, request.path)
            message = f"The simulator itself failed: {problem!r}"
            return wire.error(500, message, kind="server_error", code="simulator_failed")

    return handle


def _announce(url: str, ready_file: Path | None) -> None:
    if ready_file is not None:
        half = ready_file.with_name(ready_file.name + ".part")
        half.write_text(url)
        half.replace(ready_file)
    sys.stdout.write(f"simulator ready on {url}\n")
    sys.stdout.flush()
