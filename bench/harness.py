"""One run of a benchmark: its options, its parts in turn, and what is told of them."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from rich.console import Console

from bench import machine
from bench.figures import Demand, Part, as_json, joined, show, show_demands
from cli.stack.servers import Servers
from shared.db.migrate import migrate
from tests.databases import TEMPLATE

INTERRUPTED: Final = 130
S = TypeVar("S")
Measure = Callable[[Servers, S], Coroutine[Any, Any, Part]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench(Generic[S]):
    """What can be measured, and how much of it: S is a table of numbers."""

    word: str
    """As it is called."""
    about: str | None
    parts: Mapping[str, Measure[S]]
    in_full_only: frozenset[str]
    """Left out of the quick look, unless they are named."""
    full: S
    quick: S
    demands: Mapping[str, Demand] = field(default_factory=dict)
    """Listed also where nothing was measured; the parts have more of their own."""

    def run(self) -> list[Part]:
        """Measure what was asked for; tell and keep what was found, even when broken off."""
        options = self._options()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        console = Console()
        about = {"machine": machine.describe(), "quick": options.quick}
        console.print(about["machine"], highlight=False)
        found: list[Part] = []
        try:
            self._measure(options, console, found)
        except KeyboardInterrupt:
            console.print("broken off; nothing is left running")
            sys.exit(INTERRUPTED)
        finally:
            demands = {**self.demands}
            for part in found:
                demands |= part.demands
            show_demands(joined(found), demands, console)
            if options.output:
                text = json.dumps(as_json(found, demands, **about), indent=1)
                options.output.write_text(text + "\n", "utf-8")
        return found

    def _measure(self, options: argparse.Namespace, console: Console, found: list[Part]) -> None:
        size = self.quick if options.quick else self.full
        # With fsync, as in production: what is accepted is on disk.
        with Servers.temporary(fsync=True) as servers:
            migrate(servers.create_database(TEMPLATE))
            for name in options.parts:
                began = monotonic()
                part = asyncio.run(self.parts[name](servers, size))
                show(part, console)
                console.print(f"{name}: {monotonic() - began:.0f} s\n", highlight=False)
                found.append(part)

    def _options(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(prog=f"{self.word} ARGS=…", description=self.about)
        parser.add_argument("--quick", action="store_true", help="a look of a minute")
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="gets all as JSON")
        names = ", ".join(self.parts)
        parser.add_argument("parts", nargs="*", help=f"only these: {names}")
        options = parser.parse_args()
        unknown = sorted(set(options.parts) - self.parts.keys())
        if unknown:
            parser.error(f"no part is called {unknown[0]!r}; there are {names}")
        left_out = self.in_full_only if options.quick else frozenset()
        options.parts = options.parts or [name for name in self.parts if name not in left_out]
        return options
