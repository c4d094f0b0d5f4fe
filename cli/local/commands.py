"""`promptmill up`, `down`, `key` and `migrate`."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from time import monotonic, sleep
from typing import Final

from cli.local.environment import Surroundings
from cli.local.given import require_database
from cli.local.logs import all_of, writer
from cli.local.running import Address, address_of
from cli.local.services import FLOWER_USER
from cli.local.stack import Want, local_stack
from cli.output import say
from cli.stack.child import last_lines
from cli.stack.errors import StackError
from cli.stack.home import Home
from cli.stack.logs import follow
from cli.stack.supervisor import DIED, ServiceStatus, Status
from shared.db.migrate import migrate as migrate_schema
from shared.domain.errors import ConfigurationError

LAUNCHER: Final = "launcher"
STOP_SECONDS: Final = 60.0
SHOWN: Final = {Status.READY, Status.STOPPED, *DIED}


def up(want: Want, *, logs: bool, as_json: bool) -> None:
    """Run the stack until a signal; with `logs`, pass on what its processes write."""
    try:
        asyncio.run(_up(want, logs=logs, as_json=as_json))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def up_detached(want: Want, *, as_json: bool) -> None:
    """Run this `up` in a session of its own; return when it is ready."""
    home = Home(Surroundings.read().options().home)
    home.create()
    log = home.log(LAUNCHER)
    with log.open("ab") as file:
        launcher = subprocess.Popen(  # noqa: S603 - this very command
            [sys.executable, "-m", "cli", "up", *_arguments(want)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    while not (home.launcher() == launcher.pid and home.read_state().extra.get("ready")):
        if launcher.poll() is not None:
            raise StackError(f"the stack did not start:\n{last_lines(log, 20)}")
        sleep(0.1)
    last = f"`promptmill down` stops it; its log is {log}."
    _welcome(address_of(home), last, as_json=as_json)


def _arguments(want: Want) -> list[str]:
    """The options of `up` that say the same."""
    ports = {"--port": want.port, "--flower-port": want.flower_port}
    given = [part for name, port in ports.items() if port for part in (name, str(port))]
    flags = ["--flower" if want.flower else "--no-flower"]
    flags += ["--simulator"] if want.simulator else []
    return ["--workers", str(want.workers), *given, *flags]


def down(*, as_json: bool) -> None:
    """Ask the launcher of this home to stop, and wait until it has."""
    home = Home(Surroundings.read().options().home)
    launcher = home.launcher()
    if launcher is None:
        say({"stopped": None}, "nothing runs here", as_json=as_json)
        return
    os.kill(launcher, signal.SIGTERM)
    deadline = monotonic() + STOP_SECONDS
    while home.launcher() is not None:
        if monotonic() > deadline:
            message = f"pid {launcher} did not stop within {STOP_SECONDS:.0f} s"
            raise StackError(message)
        sleep(0.05)
    say({"stopped": launcher}, "stopped", as_json=as_json)


async def _up(want: Want, *, logs: bool, as_json: bool) -> None:
    """Until a signal; one that comes before all is ready breaks the start off."""
    stop, starting = asyncio.Event(), asyncio.current_task()
    _on_signal(starting.cancel if starting else stop.set)
    async with local_stack(want, _Teller(as_json=as_json)) as (address, _):
        _on_signal(stop.set)
        _welcome(address, "Ctrl-C stops it.", as_json=as_json)
        following = None
        if logs:
            following = asyncio.create_task(_follow(address.home, as_json=as_json))
        await stop.wait()
        if following:
            following.cancel()
        say({"state": "stopping"}, "stopping", as_json=as_json)


async def _follow(root: Path, *, as_json: bool) -> None:
    logs = all_of(Home(root))
    await follow(logs, writer(logs, as_json=as_json))


def _on_signal(act: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, act)


class _Teller:
    """Tells what each process does in a line; why one fails, at its first failure."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._failing: set[str] = set()

    def __call__(self, status: ServiceStatus) -> None:
        if status.status not in SHOWN:
            return
        pid = f" (pid {status.pid})" if status.pid else ""
        words = f"  {status.name:<10} {status.status}{pid}"
        if status.why and status.name not in self._failing:
            self._failing.add(status.name)
            words += "\n" + indent(status.why, " " * 4)
        facts = {"process": status.name, "status": status.status, "pid": status.pid}
        say(facts | {"why": status.why}, words, as_json=self._as_json)


def _welcome(address: Address, last: str, *, as_json: bool) -> None:
    body = '{"request": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hi"}]}'
    rehearse = ', "rehearse": true' if address.simulator else ""
    flower = (
        f"Flower: {address.flower_url} (user {FLOWER_USER}, password: promptmill key --flower)\n"
        if address.flower_url
        else ""
    )
    facts = {"state": "up", "api": address.api_url, "flower": address.flower_url}
    say(
        facts | {"home": str(address.home)},
        f"\nPromptmill is up at {address.api_url} (its documentation: {address.api_url}/docs)\n"
        f"{flower}data, logs and the API key: {address.home} (state.json)\n\n"
        f"  export PROMPTMILL_KEY=$(promptmill key)\n"
        f'  curl {address.api_url}/api/v1/jobs -H "Authorization: Bearer $PROMPTMILL_KEY" \\\n'
        f"    -d '{body}{rehearse}}}'\n\n{last}",
        as_json=as_json,
    )


def migrate(*, as_json: bool) -> None:
    """Bring the schema of the user's own database to the newest step."""
    url = Surroundings.read().options().database_url
    if url is None:
        message = "DATABASE_URL is not set; a local stack's own schema is kept by `promptmill up`"
        raise ConfigurationError(message)
    asyncio.run(require_database(url))
    migrate_schema(url)
    say({"schema": "up to date"}, "the schema is up to date", as_json=as_json)


def show_key(*, flower: bool, as_json: bool) -> None:
    """Print the API key of this machine's stack, or the password of its Flower."""
    extra = Home(Surroundings.read().options().home).read_state().extra
    name = "flower_password" if flower else "api_key"
    secret = extra.get(name)
    if not secret:
        message = "no stack was ever started in this home: run `promptmill up` first"
        raise StackError(message)
    say({name: secret}, str(secret), as_json=as_json)
