"""The benchmark: `python -m bench`, or `make bench`; docs/benchmark.md tells how to read it."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Final

from rich.console import Console

from bench import machine
from bench.accept import accept
from bench.backlog import backlog, in_flight
from bench.figures import DEMANDS, Part, as_json, joined, show, show_demands
from bench.idle import idle, latency
from bench.quota.window import quota, shares
from bench.rescue import rescue
from bench.sizes import FULL, QUICK, Size
from bench.streams import streams
from bench.throughput import throughput
from cli.stack.servers import Servers
from shared.db.migrate import migrate
from tests.databases import TEMPLATE

Measure = Callable[[Servers, Size], Awaitable[Part]]

PARTS: Final[dict[str, Measure]] = {
    "throughput": throughput,
    "in-flight": in_flight,
    "backlog": backlog,
    "accept": accept,
    "latency": latency,
    "idle": idle,
    "streams": streams,
    "quota": quota,
    "rescue": rescue,
    "shares": shares,
}
IN_FULL_ONLY: Final = frozenset({"quota", "rescue", "shares"})
INTERRUPTED: Final = 130


def main() -> None:
    """Measure what was asked for; tell and keep what was found, even when broken off."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    about = {"machine": machine.describe(), "quick": options.quick}
    console.print(about["machine"], highlight=False)
    found: list[Part] = []
    try:
        _measure(options, console, found)
    except KeyboardInterrupt:
        console.print("broken off; nothing is left running")
        sys.exit(INTERRUPTED)
    finally:
        show_demands(joined(found), DEMANDS, console)
        if options.output:
            text = json.dumps(as_json(found, DEMANDS, **about), indent=1)
            options.output.write_text(text + "\n", "utf-8")


def _measure(options: argparse.Namespace, console: Console, found: list[Part]) -> None:
    size = QUICK if options.quick else FULL
    # With fsync, as in production: what is accepted is on disk.
    with Servers.temporary(fsync=True) as servers:
        migrate(servers.create_database(TEMPLATE))
        for name in options.parts:
            began = monotonic()
            part = asyncio.run(_awaited(PARTS[name], servers, size))
            show(part, console)
            console.print(f"{name}: {monotonic() - began:.0f} s\n", highlight=False)
            found.append(part)


async def _awaited(measure: Measure, servers: Servers, size: Size) -> Part:
    return await measure(servers, size)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look: smaller parts, a minute")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="gets it all as JSON")
    parser.add_argument("parts", nargs="*", help=f"only these: {', '.join(PARTS)}")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - PARTS.keys())
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; there are {', '.join(PARTS)}")
    every = [name for name in PARTS if not (options.quick and name in IN_FULL_ONLY)]
    options.parts = options.parts or every
    return options


if __name__ == "__main__":
    main()
