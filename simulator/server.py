"""Listening, routing, and stopping with the ledger written."""

import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path
from typing import Final

from simulator.call import Problem
from simulator.company import Company
from simulator.counting import count_prompt
from simulator.http import Connection, Handler, Request, Response
from simulator.routes import routes
from simulator.wires.openai_chat import OpenAIChat

BACKLOG: Final = 4096
STRANGER: Final = OpenAIChat()
"""Says what no provider's wire is there to say."""
LOG: Final = logging.getLogger("simulator")


async def serve(company: Company, host: str, port: int, ready_file: Path | None) -> None:
    """Listen, tell where, and stop on SIGINT or SIGTERM. Raises OSError if it cannot."""
    stop, connections = asyncio.Event(), set[Connection]()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    handler = _handler(company)
    server = await loop.create_server(
        lambda: Connection(handler, connections), host, port, backlog=BACKLOG
    )
    count_prompt([""])  # the vocabulary is loaded before the first call, not under it
    gc.freeze()  # what is loaded stays: no collection need look at it again
    _announce(f"http://{host}:{server.sockets[0].getsockname()[1]}", ready_file)
    await stop.wait()
    server.close()
    under_way = [task for connection in list(connections) if (task := connection.close())]
    await asyncio.gather(*under_way, return_exceptions=True)
    await company.ledger.close()


def _handler(company: Company) -> Handler:
    table = routes(company.accounts, company.script)

    async def handle(request: Request) -> Response:
        handler = table.find(request.method, request.path)
        if handler is None:
            message = f"Invalid URL ({request.method} {request.path})"
            return STRANGER.error(Problem(404, message, code="unknown_url"), "")
        try:
            return await handler(request)
        except Exception as problem:
            LOG.exception("%s %s failed", request.method, request.path)
            message = f"The simulator itself failed: {problem!r}"
            return STRANGER.error(Problem(500, message, code="simulator_failed"), "")

    return handle


def _announce(url: str, ready_file: Path | None) -> None:
    if ready_file is not None:
        half = ready_file.with_name(ready_file.name + ".part")
        half.write_text(url)
        half.replace(ready_file)
    sys.stdout.write(f"simulator ready on {url}\n")
    sys.stdout.flush()
