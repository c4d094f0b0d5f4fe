"""The quota benchmark: `python -m bench.quota`, or `make bench-quota`; docs/benchmark.md."""

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
from bench.figures import Demand, as_json, joined, show, show_demands
from bench.quota.fairness import fairness
from bench.quota.judged import Judged
from bench.quota.matrix import matrix, minutes
from bench.quota.outage import outages
from bench.quota.rivals import race
from bench.quota.scale import FULL, QUICK, Scale
from cli.stack.servers import Servers
from shared.db.migrate import migrate
from tests.databases import TEMPLATE

Measure = Callable[[Servers, Scale], Awaitable[Judged]]
PARTS: Final[dict[str, Measure]] = {
    "matrix": matrix,
    "minutes": minutes,
    "fairness": fairness,
    "outages": outages,
    "race": race,
}
IN_FULL_ONLY: Final = frozenset({"minutes", "fairness", "outages"})
INTERRUPTED: Final = 130


def main() -> None:
    """Measure, tell, and end with 1 where a demand is missed."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    about = {"machine": machine.describe(), "quick": options.quick}
    console.print(about["machine"], highlight=False)
    found: list[Judged] = []
    try:
        _measure(options, console, found)
    except KeyboardInterrupt:
        console.print("broken off; nothing is left running")
        sys.exit(INTERRUPTED)
    finally:
        _tell(options, console, found, about)
    if not all(each.met for each in found):
        sys.exit(1)


def _measure(options: argparse.Namespace, console: Console, found: list[Judged]) -> None:
    scale = QUICK if options.quick else FULL
    with Servers.temporary(fsync=True) as servers:
        migrate(servers.create_database(TEMPLATE))
        for name in options.parts:
            began = monotonic()
            judged = asyncio.run(_awaited(PARTS[name], servers, scale))
            show(judged.part, console)
            console.print(f"{name}: {monotonic() - began:.0f} s\n", highlight=False)
            found.append(judged)


async def _awaited(measure: Measure, servers: Servers, scale: Scale) -> Judged:
    return await measure(servers, scale)


def _tell(
    options: argparse.Namespace,
    console: Console,
    found: list[Judged],
    about: dict[str, str | bool],
) -> None:
    parts = [each.part for each in found]
    demands: dict[str, Demand] = {}
    for each in found:
        demands |= each.demands
    show_demands(joined(parts), demands, console)
    text = json.dumps(as_json(parts, demands, **about), indent=1)
    if options.output:
        options.output.write_text(text + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-quota ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look of a minute")
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
