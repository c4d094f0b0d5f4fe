"""The command `python -m simulator`: a provider that bills nobody."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvloop
from pydantic import ValidationError

from simulator import wire
from simulator.answers import Oracle, Spread
from simulator.control import Control
from simulator.faults import Script
from simulator.http import Connection, Handler, Request, Response
from simulator.ledger import Ledger
from simulator.limits import Limits, SlidingWindow
from simulator.prices import model_prices
from simulator.provider import Provider

EXAMPLES: Final = """examples:
  python -m simulator                                  any free port, no limits
  python -m simulator --rpm 500 --tpm 200000           a strict quota per 60 s window
  python -m simulator --rpm 50 --window 3              the same with a 3 s window
  python -m simulator --ledger bill.jsonl --seed 7     what it would bill, repeatable"""


def main() -> None:
    """Parse the options, serve until told to stop."""
    options = _parser().parse_args()
    try:
        provider = _provider(options)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        raise SystemExit(2) from None
    uvloop.run(_serve(provider, options))


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A stand-in for OpenAI: same wire, strict limits, no money.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0: any free one")
    add("--ready-file", type=Path, help="gets the URL once the port listens")
    add("--ledger", type=Path, help="JSONL of what would be billed, on disk before each reply")
    add("--seed", type=int, default=0)
    add("--rpm", type=int, default=0, help="requests per window; 0: no limit")
    add("--tpm", type=int, default=0, help="tokens per window; 0: no limit")
    add("--concurrency", type=int, default=0, help="requests at once; 0: no limit")
    add("--window", type=float, default=60.0, help="seconds")
    add("--latency-ms", type=float, default=300.0)
    add("--latency-spread", type=float, default=0.3, help="part of the latency, 0 to 1")
    add("--output-tokens", default="20-200", help="LO-HI")
    add("--script", type=Path, help="JSON list of rules for misbehaviour")
    add("--api-key", help="the only key that is accepted; any, where absent")
    add("--model", action="append", default=[], help="NAME=IN,CACHED,OUT in USD per million")
    return parser


def _provider(options: argparse.Namespace) -> Provider:
    """Raises ValueError or OSError that names the option."""
    low, dash, high = options.output_tokens.partition("-")
    if not (dash and low.isdigit() and high.isdigit() and int(low) <= int(high)):
        message = f"--output-tokens {options.output_tokens!r}: write LO-HI, such as 20-200"
        raise ValueError(message)
    spread = Spread(options.latency_ms / 1000, options.latency_spread, int(low), int(high))
    script = Script(options.seed)
    if options.script is not None:
        try:
            script.load(json.loads(options.script.read_text("utf-8")))
        except (json.JSONDecodeError, ValidationError) as error:
            message = f"--script {options.script}: {error}"
            raise ValueError(message) from None
    limits = Limits(options.rpm, options.tpm, options.concurrency, options.window)
    return Provider(
        prices=model_prices(options.model),
        oracle=Oracle(options.seed, spread),
        window=SlidingWindow(limits),
        ledger=Ledger(options.ledger),
        script=script,
        api_key=options.api_key,
    )


async def _serve(provider: Provider, options: argparse.Namespace) -> None:
    """Listen, tell where, and stop on a signal with the ledger written."""
    table, connections, stop = routes(provider), set[Connection](), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    async def handle(request: Request) -> Response:
        handler = table.get((request.method, request.path))
        if handler is None:
            message = f"Invalid URL ({request.method} {request.path})"
            return wire.error(404, message, kind="invalid_request_error", code="unknown_url")
        return await handler(request)

    try:
        server = await loop.create_server(
            lambda: Connection(handle, connections), options.host, options.port, backlog=4096
        )
    except OSError as error:
        sys.stderr.write(f"simulator: --port {options.port}: {error.strerror or error}\n")
        raise SystemExit(2) from None
    url = f"http://{options.host}:{server.sockets[0].getsockname()[1]}"
    if options.ready_file is not None:
        half = options.ready_file.with_suffix(".part")
        half.write_text(url)
        half.replace(options.ready_file)
    sys.stdout.write(f"simulator ready on {url}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()
    for connection in list(connections):
        connection.close()
    await provider.ledger.close()
