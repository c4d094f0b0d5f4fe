"""`promptmill up`, `down` and `status`."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, Final

import httpx2
import typer

from cli import client
from cli.errors import Exit
from cli.local.environment import Surroundings
from cli.local.given import require_database
from cli.local.stack import Address, Want, local_stack
from cli.stack.errors import StackError
from cli.stack.home import Home, State
from cli.stack.supervisor import ServiceStatus, Status
from shared.db.migrate import migrate as migrate_schema
from shared.domain.errors import ConfigurationError
from shared.domain.money import show_usd

STOP_SECONDS: Final = 60.0
SHOWN: Final = {Status.READY, Status.RESTARTING, Status.STOPPED}


def up(*, workers: int, port: int | None, simulator: bool) -> None:
    """Run the stack until a signal."""
    want = Want(command="up", workers=workers, port=port, simulator=simulator)
    try:
        asyncio.run(_up(want))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def down() -> None:
    """Ask the launcher of this home to stop, and wait until it has."""
    home = Home(Surroundings.read().options().home)
    launcher = home.launcher()
    if launcher is None:
        typer.echo("nothing runs here")
        return
    os.kill(launcher, signal.SIGTERM)
    deadline = monotonic() + STOP_SECONDS
    while home.launcher() is not None:
        if monotonic() > deadline:
            message = f"pid {launcher} did not stop within {STOP_SECONDS:.0f} s"
            raise StackError(message)
        sleep(0.05)
    typer.echo("stopped")


def status(*, as_json: bool) -> Exit:
    """Show what runs; exit code 1 when nothing does."""
    home = Home(Surroundings.read().options().home)
    launcher = home.launcher()
    state = home.read_state() if launcher else State()
    facts: dict[str, Any] = {
        "running": launcher is not None,
        "pid": launcher,
        "home": str(home.root),
        "api": state.extra.get("api_url"),
        "services": {name: s.model_dump() for name, s in state.services.items()},
    }
    if launcher and state.extra.get("ready"):
        facts |= asyncio.run(_jobs(state))
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        _show(facts)
    return Exit.OK if launcher else Exit.SOME_FAILED


async def _up(want: Want) -> None:
    """Until a signal; one that comes before all is ready breaks the start off."""
    stop, starting = asyncio.Event(), asyncio.current_task()
    _on_signal(starting.cancel if starting else stop.set)
    async with local_stack(want, _tell) as (address, _):
        _on_signal(stop.set)
        _welcome(address)
        await stop.wait()
        typer.echo("stopping")


def _on_signal(act: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, act)


def _tell(status: ServiceStatus) -> None:
    if status.status in SHOWN:
        pid = f" (pid {status.pid})" if status.pid else ""
        typer.echo(f"  {status.name:<10} {status.status}{pid}")


def _welcome(address: Address) -> None:
    body = '{"request": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hi"}]}'
    rehearse = ', "rehearse": true' if address.simulator else ""
    typer.echo(
        f"\nPromptmill is up at {address.api_url} (its documentation: {address.api_url}/docs)\n"
        f"data, logs and the API key: {address.home} (state.json)\n\n"
        f"  export PROMPTMILL_KEY=$(promptmill key)\n"
        f'  curl {address.api_url}/api/v1/jobs -H "Authorization: Bearer $PROMPTMILL_KEY" \\\n'
        f"    -d '{body}{rehearse}}}'\n\nCtrl-C stops it."
    )


def migrate() -> None:
    """Bring the schema of the user's own database to the newest step."""
    url = Surroundings.read().options().database_url
    if url is None:
        message = "DATABASE_URL is not set; a local stack's own schema is kept by `promptmill up`"
        raise ConfigurationError(message)
    asyncio.run(require_database(url))
    migrate_schema(url)
    typer.echo("the schema is up to date")


def show_key() -> None:
    """Print the API key of this machine's stack."""
    key = Home(Surroundings.read().options().home).read_state().extra.get("api_key")
    if not key:
        message = "no stack was ever started in this home: run `promptmill up` first"
        raise StackError(message)
    typer.echo(str(key))


async def _jobs(state: State) -> dict[str, Any]:
    """Health and counts of a running stack; what does not answer is said to be away."""
    url, key = str(state.extra["api_url"]), str(state.extra["api_key"])
    async with httpx2.AsyncClient(base_url=url, timeout=5.0) as http:
        try:
            health = (await http.get("/readyz")).json()
        except httpx2.TransportError:
            return {"health": {"status": "away"}}
    async with client.connect(url, key) as api:
        summary = await api.summary()
    return {"health": health, "jobs": summary["counts"], "cost": summary["cost"]}


def _show(facts: dict[str, Any]) -> None:
    if not facts["running"]:
        typer.echo(f"nothing runs in {facts['home']}")
        return
    typer.echo(f"promptmill runs (pid {facts['pid']}) at {facts['api']}, home {facts['home']}")
    for name, service in facts["services"].items():
        restarts = f", {service['restarts']} restarts" if service["restarts"] else ""
        typer.echo(f"  {name:<10} {service['status']:<10} pid {service['pid']}{restarts}")
    if "health" in facts:
        typer.echo(f"health: {facts['health']['status']}")
    if "jobs" in facts:
        counts = ", ".join(f"{number} {state}" for state, number in facts["jobs"].items() if number)
        typer.echo(f"jobs: {counts or 'none'}; cost {show_usd(facts['cost']['nano_usd'])}")
