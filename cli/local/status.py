"""`promptmill status`: what runs, how well, and how fast."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from time import monotonic, sleep
from typing import Any, Final

import click
import httpx2
import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from cli.errors import Exit
from cli.local.environment import Surroundings
from cli.output import print_json
from cli.stack.home import Home, ServiceState, State
from shared.db.engine import Database
from shared.db.pulse import COUNTED, pulse
from shared.domain.clock import SystemClock
from shared.domain.money import show_usd

WATCH_SECONDS: Final = 2.0
PATIENCE: Final = 5.0
"""Seconds that the api and the database get to answer."""
CPU_SECONDS: Final = 0.2
"""How long the processes are looked at, at least."""
MEGABYTE: Final = 1 << 20


def show(*, as_json: bool, watch: bool) -> Exit:
    """Once, or again and again until Ctrl-C; exit code 1 when nothing runs."""
    home = Home(Surroundings.read().options().home)
    while True:
        facts = asyncio.run(look(home))
        if as_json:
            print_json([facts])
        else:
            if watch:
                click.clear()
            _tell(facts)
        if not watch:
            return Exit.OK if facts["running"] else Exit.SOME_FAILED
        sleep(WATCH_SECONDS)


async def look(home: Home) -> dict[str, Any]:
    """Everything that is shown, in the shape of `--json`."""
    launcher = home.launcher()
    state = home.read_state() if launcher else State()
    facts: dict[str, Any] = {
        "running": launcher is not None,
        "pid": launcher,
        "home": str(home.root),
        "api": state.extra.get("api_url"),
        "flower": state.extra.get("flower_url"),
        "services": {name: _process(service) for name, service in state.services.items()},
    }
    begun = monotonic()
    if launcher and state.extra.get("ready"):
        facts["health"] = await _health(str(state.extra["api_url"]))
        names = {service.pid: name for name, service in state.services.items()}
        facts |= await _pulse(str(state.extra["database_url"]), names)
    if launcher:
        await asyncio.sleep(CPU_SECONDS)
        _add_cpu(facts["services"], monotonic() - begun)
    return facts


def _add_cpu(services: dict[str, dict[str, Any]], seconds: float) -> None:
    """What each took of one processor since it was first looked at, in percent."""
    for facts in services.values():
        before, now = facts["cpu_seconds"], _usage(facts["pid"])["cpu_seconds"]
        known = before is not None and now is not None
        facts["cpu_percent"] = round(max(0.0, now - before) / seconds * 100) if known else None


async def _health(api_url: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=api_url, timeout=PATIENCE) as http:
        try:
            health: dict[str, Any] = (await http.get("/readyz")).json()
        except (httpx2.TransportError, ValueError):
            return {"status": "away"}
    return health


async def _pulse(database_url: str, names: Mapping[int | None, str]) -> dict[str, Any]:
    """What the database tells; why it does not answer, if so. `names` are the processes' by pid."""
    database = Database(database_url, pool_size=1, name="promptmill-status")
    try:
        async with asyncio.timeout(PATIENCE), database.transaction() as connection:
            seen = await pulse(connection, SystemClock().now())
    except (OSError, SQLAlchemyError) as error:
        return {"database": f"away ({type(error).__name__})"}
    finally:
        await database.close()
    return {
        "database": "ok",
        "last_minute": asdict(seen.rates),
        "routes": seen.routes,
        "scheduled": seen.scheduled,
        "workers": [asdict(each) | {"name": names.get(each.pid)} for each in seen.workers],
    }


def _process(service: ServiceState) -> dict[str, Any]:
    """One child: what its supervisor knows, and what the system says of its process tree."""
    facts: dict[str, Any] = service.model_dump()
    facts["uptime"] = (
        round(SystemClock().now().timestamp() - service.since) if service.since else None
    )
    return facts | _usage(service.pid)


def _usage(pid: int | None) -> dict[str, Any]:
    """Memory in bytes and CPU in seconds of a process and its children; None when it is gone."""
    if pid is None:
        return {"memory": None, "cpu_seconds": None}
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return {
            "memory": sum(each.memory_info().rss for each in family),
            "cpu_seconds": round(sum(sum(each.cpu_times()[:2]) for each in family), 2),
        }
    except psutil.Error:
        return {"memory": None, "cpu_seconds": None}


def _tell(facts: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not facts["running"]:
        console.print(f"nothing runs in {facts['home']}; `promptmill up` starts it")
        return
    health = facts.get("health", {}).get("status", "starting")
    console.print(f"promptmill (pid {facts['pid']}) is {health} at {facts['api']}")
    console.print(f"Flower {facts['flower'] or 'does not run'}, home {facts['home']}\n")
    console.print(_processes(facts["services"]))
    for service in facts["services"].values():
        if service["why"]:
            console.print(service["why"], markup=False)
    if "last_minute" not in facts:
        console.print(f"the database is {facts.get('database', 'not asked yet')}")
        return
    console.print(_workers(facts["workers"]))
    _tell_work(console, facts)


def _tell_work(console: Console, facts: dict[str, Any]) -> None:
    for route, states in sorted(facts["routes"].items()):
        counted = (f"{_many(number)} {state}" for state, number in states.items())
        console.print(f"{route}: {', '.join(counted)}")
    if facts["scheduled"]:
        console.print(f"{_many(facts['scheduled'])} scheduled")
    minute = facts["last_minute"]
    console.print(
        f"last minute: {minute['answered']} answered of {minute['calls']} calls "
        f"({minute['answered'] / 60:.1f} a second), {minute['tokens']} tokens, "
        f"{show_usd(minute['cost_nano'])}"
    )


def _many(number: int) -> str:
    return f"{COUNTED} or more" if number >= COUNTED else str(number)


def _processes(services: dict[str, dict[str, Any]]) -> Table:
    table = Table("process", "state", "pid", "up", "restarts", "memory", "CPU", box=None)
    for name, service in services.items():
        memory = service["memory"]
        table.add_row(
            name,
            service["status"],
            str(service["pid"] or ""),
            _since(service["uptime"]),
            str(service["restarts"] or ""),
            f"{memory / MEGABYTE:.0f} MB" if memory else "",
            f"{service['cpu_percent']} %" if memory else "",
        )
    return table


def _workers(workers: list[dict[str, Any]]) -> Table:
    table = Table("worker", "queues", "calls in flight", "of", "last heartbeat", box=None)
    for worker in workers:
        table.add_row(
            worker["name"] or f"{worker['host']}:{worker['pid']}",
            ",".join(worker["queues"]),
            str(worker["used"]),
            str(worker["capacity"]),
            f"{worker['silent']:.0f} s ago",
        )
    return table


def _since(seconds: int | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
