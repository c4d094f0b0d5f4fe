"""`promptmill simulate`: the stand-in for every provider, for whoever tests against it."""

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any, Final

from cli.local.environment import Surroundings
from cli.output import say

POLL_SECONDS: Final = 0.05


def serve(options: list[str], *, as_json: bool) -> int:
    """Run it with its own options until it ends or Ctrl-C; the exit code."""
    with TemporaryDirectory(prefix="promptmill-simulator-") as folder:
        ready = Path(folder) / "url"
        command = [sys.executable, "-m", "simulator", *options, "--ready-file", str(ready)]
        # What it says on stdout is said here, in our words.
        child = subprocess.Popen(command, stdout=_passed_on(options))  # noqa: S603 - our own program
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: child.terminate())
        try:
            while child.poll() is None and not ready.exists():
                sleep(POLL_SECONDS)
            if child.poll() is None:
                _tell(ready.read_text(), as_json=as_json)
            return child.wait()
        except KeyboardInterrupt:
            child.terminate()
            return child.wait()


def _passed_on(options: list[str]) -> int | None:
    return None if "--help" in options else subprocess.DEVNULL


def _tell(url: str, *, as_json: bool) -> None:
    rows = Surroundings.read().catalog(simulator_url=url).providers.values()
    addresses = {row.id: row.base_url for row in rows if row.rehearsal}
    facts: dict[str, Any] = {"url": url, "base_urls": addresses}
    lines = [f"the simulator listens on {url}; Ctrl-C stops it", "base URLs for SDKs, any key:"]
    lines += [f"  {name:<22} {address}" for name, address in addresses.items()]
    lines.append(f"what it counted: {url}/_sim/stats; its options: promptmill simulate -- --help")
    say(facts, "\n".join(lines), as_json=as_json)
