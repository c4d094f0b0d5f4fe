"""A local stack from nothing to ready, and back: databases, schema, key, processes."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue, SecretStr
from sqlalchemy import text

from cli.local.environment import Surroundings
from cli.local.given import require_given
from cli.local.running import LEDGER, Address, address_of
from cli.local.services import Foundation, Plan, services
from cli.stack.errors import StackError
from cli.stack.home import Home, ServiceState
from cli.stack.servers import Servers
from cli.stack.supervisor import ServiceStatus, Supervisor
from shared.db.engine import Database
from shared.db.migrate import migrate
from shared.db.tenants import create_key, ensure_tenant
from shared.db.workers import void_leases
from shared.security.keys import Scope

TENANT: Final = "local"

Tell = Callable[[ServiceStatus], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What a stack is started for."""

    command: str
    """`up` may be shared by others, `run` may not."""
    workers: int = 1
    port: int | None = None
    """None: any free one."""
    simulator: bool = False
    flower: bool = False
    flower_port: int | None = None
    """None: any free one."""


@asynccontextmanager
async def local_stack(want: Want, tell: Tell) -> AsyncIterator[tuple[Address, Supervisor]]:
    """Start everything, yield, and stop it in the reverse order."""
    options = Surroundings.read().options()
    home = Home(options.home)
    home.create()
    lock = home.take_lock()
    try:
        await require_given(options)
        servers = Servers(options, lock)
        await asyncio.to_thread(servers.prepare)
        notice = _StateKeeper(home, tell)
        async with (
            _supervised(Supervisor(servers.services(), home, notice.changed)),
            _upper_half(want, home, servers, notice) as upper,
        ):
            yield upper
    finally:
        home.update_state(pid=None, services={}, extra={**home.read_state().extra, "ready": False})
        lock.release()


@asynccontextmanager
async def _upper_half(
    want: Want, home: Home, servers: Servers, notice: "_StateKeeper"
) -> AsyncIterator[tuple[Address, Supervisor]]:
    """Schema, tenant and key, then the processes."""
    await asyncio.to_thread(migrate, servers.database_url)
    database = Database(servers.database_url, pool_size=4, name="promptmill-launcher")
    try:
        foundation = await _foundation(home, servers, database)
        plan = Plan(
            workers=want.workers,
            api_port=_port(want.port, "--port"),
            simulator_port=_free_port() if want.simulator else None,
            flower_port=_port(want.flower_port, "--flower-port") if want.flower else None,
        )
        supervisor = Supervisor(services(plan, foundation), home, notice.changed)
        async with _supervised(supervisor):
            _remember(
                home,
                command=want.command,
                ready=True,
                api_url=plan.api_url,
                flower_url=plan.flower_url,
                database_url=servers.database_url,
                simulator=want.simulator,
            )
            yield address_of(home), supervisor
    finally:
        await database.close()


async def _foundation(home: Home, servers: Servers, database: Database) -> Foundation:
    """What the processes stand on; the tenant and its key are made if there are none."""
    surroundings = Surroundings.read()
    embedded = surroundings.options().database_url is None
    pepper, since = await _prepare(home, database, embedded=embedded)
    return Foundation(
        database=database,
        surroundings=surroundings,
        settings={
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "PROMPTMILL_PEPPER": pepper,
        },
        flower_password=str(home.read_state().extra["flower_password"]),
        since=since,
        ledger=home.root / LEDGER,
    )


@asynccontextmanager
async def _supervised(supervisor: Supervisor) -> AsyncIterator[None]:
    try:
        await supervisor.start()
        yield
    finally:
        await supervisor.stop()


async def _prepare(home: Home, database: Database, *, embedded: bool) -> tuple[str, str]:
    """Secrets and key of this installation, made once; the pepper, and the database's time."""
    extra = home.read_state().extra
    pepper = str(extra.get("pepper") or secrets.token_urlsafe(32))
    password = str(extra.get("flower_password") or secrets.token_urlsafe(16))
    async with database.transaction() as connection:
        since = (await connection.execute(text("SELECT clock_timestamp()::text"))).scalar_one()
        if embedded:
            # We started this Postgres: no worker of an earlier stack can be alive.
            await void_leases(connection)
        tenant_id = await ensure_tenant(connection, TENANT)
        known = await connection.execute(
            text("SELECT 1 FROM api_keys WHERE id = :id"), {"id": str(extra.get("key_id"))}
        )
        if known.one_or_none() is None:
            key = await create_key(
                connection,
                tenant_id,
                name="this machine",
                scopes=Scope,
                environment="local",
                pepper=SecretStr(pepper),
            )
            extra = {**extra, "key_id": key.id, "api_key": key.plaintext.get_secret_value()}
    _remember(home, **{**extra, "pepper": pepper, "flower_password": password})
    return pepper, str(since)


def _remember(home: Home, **facts: JsonValue) -> None:
    home.update_state(pid=os.getpid(), extra={**home.read_state().extra, **facts})


class _StateKeeper:
    """Writes what each service does into the home's state, and passes it on."""

    def __init__(self, home: Home, tell: Tell) -> None:
        self._home = home
        self._tell = tell
        self._services: dict[str, ServiceState] = {}

    def changed(self, status: ServiceStatus) -> None:
        """A service has a new status."""
        self._services[status.name] = ServiceState(
            status=status.status,
            pid=status.pid,
            since=status.since,
            restarts=status.restarts,
            why=status.why,
        )
        self._home.update_state(services=self._services)
        self._tell(status)


def _port(wanted: int | None, option: str) -> int:
    """A port to listen on. Raises StackError when the wanted one is taken."""
    if wanted is None:
        return _free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            message = (
                f"port {wanted} cannot be used ({(error.strerror or str(error)).lower()}): "
                f"choose another with {option}, or leave it out for any free one"
            )
            raise StackError(message) from None
    return wanted


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
