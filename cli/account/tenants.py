"""The words `tenants list`, `create`, `set-weight`, `limits`: for who holds the database."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import SecretStr
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from cli.errors import InputError, stderr, told_plainly
from cli.jobs.show import table
from cli.local.environment import Surroundings
from cli.local.given import require_database
from cli.local.running import find_running
from cli.output import AsJson, print_json
from cli.stack.home import Home
from shared.db.engine import Database
from shared.db.limits import NAMES, change_limits, limits_of, read_limits
from shared.db.tenants import create_key, create_tenant, list_tenants, set_weight
from shared.domain.errors import ConfigurationError
from shared.security.keys import OF_A_TENANT, Scope

T = TypeVar("T")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MOST_WEIGHT: Final = 1000
LEAST_PEPPER: Final = 16
CREATE_EXAMPLES: Final = """
Examples:

  promptmill tenants create research --weight 3

Prints the tenant's first key, with the scope admin: by it the tenant makes its others.
"""

LIMITS_EXAMPLES: Final = """
Examples:

  promptmill tenants limits research --max-running 20 --max-queued 10000

  promptmill tenants limits research --max-running 0

  promptmill tenants limits research --none
"""

Name = Annotated[str, typer.Argument(metavar="NAME")]
Weight = Annotated[int, typer.Option("--weight", min=1, max=MOST_WEIGHT, help="Its share.")]


def _limit(of_what: str) -> Any:
    return typer.Option(min=0, help=of_what)


app = typer.Typer(help="Tenants, over DATABASE_URL or this machine's running stack.")


@app.command("list", epilog="Examples:\n\n  promptmill tenants list --json")
def list_(*, as_json: AsJson = False) -> None:
    """List the tenants with their weights and how many keys count."""
    with told_plainly():
        rows = _in_database(list_tenants)
        found = [
            {"id": r.id, "name": r.name, "weight": r.weight, "keys": r.keys,
             "created_at": r.created_at.isoformat(), "limits": asdict(limits_of(r))}
            for r in rows
        ]  # fmt: skip
        if as_json:
            print_json(found)
            return
        for line in table(
            (
                [
                    *(str(tenant[name]) for name in ("id", "name", "weight", "keys")),
                    _shown(tenant["limits"]),
                ]
                for tenant in found
            ),
            ("ID", "NAME", "WEIGHT", "KEYS", "LIMITS"),
        ):
            typer.echo(line)


@app.command(epilog=CREATE_EXAMPLES)
def create(
    name: Name,
    *,
    weight: Weight = 1,
    operator: Annotated[
        bool, typer.Option("--operator", help="Its key may switch providers, too, for all tenants.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a tenant and its first key, which is shown this once, on stdout."""
    with told_plainly():
        if not NAME.fullmatch(name):
            raise InputError("NAME: up to 63 small letters, digits, dots, dashes and underscores")
        pepper, scopes = _pepper(), Scope if operator else OF_A_TENANT

        async def make(connection: AsyncConnection) -> tuple[str, str]:
            tenant_id = await create_tenant(connection, name, weight=weight)
            if tenant_id is None:
                message = f"a tenant {name!r} exists already"
                raise InputError(message)
            key = await create_key(
                connection,
                tenant_id,
                name="first",
                scopes=scopes,
                environment="live",
                pepper=pepper,
            )
            return tenant_id, key.plaintext.get_secret_value()

        tenant_id, key = _in_database(make)
        if as_json:
            print_json([{"id": tenant_id, "name": name, "weight": weight, "key": key}])
            return
        stderr.print(f"{tenant_id} {name}; its admin key, shown only now:", markup=False)
        typer.echo(key)


@app.command("set-weight", epilog="Examples:\n\n  promptmill tenants set-weight research 5")
def set_weight_(
    name: Name,
    weight: Annotated[int, typer.Argument(metavar="WEIGHT", min=1, max=MOST_WEIGHT)],
    *,
    as_json: AsJson = False,
) -> None:
    """Give a tenant another share: at weight 3 it gets three turns for one of weight 1."""
    with told_plainly():
        if not _in_database(lambda connection: set_weight(connection, name, weight)):
            message = f"no tenant {name!r}"
            raise InputError(message)
        if as_json:
            print_json([{"name": name, "weight": weight}])
        else:
            typer.echo(f"{name} has weight {weight}")


@app.command(epilog=LIMITS_EXAMPLES)
def limits(  # noqa: PLR0913 - each is an option
    name: Name,
    *,
    max_running: Annotated[int | None, _limit("Calls in flight at one time.")] = None,
    max_queued: Annotated[int | None, _limit("Jobs that wait.")] = None,
    max_queued_bytes: Annotated[int | None, _limit("Bytes of their requests.")] = None,
    requests_per_minute: Annotated[int | None, _limit("Requests to the api.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Take away all others.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the limits of a tenant, or set those that are named; 0 takes one away."""
    given = (max_running, max_queued, max_queued_bytes, requests_per_minute)
    named = dict(zip(NAMES, given, strict=True))
    changes = {each: value or None for each, value in named.items() if none or value is not None}
    with told_plainly():
        act = (
            partial(change_limits, name=name, changes=changes)
            if changes
            else partial(read_limits, name=name)
        )
        found = _in_database(act)
        if found is None:
            message = f"no tenant {name!r}"
            raise InputError(message)
        if as_json:
            print_json([{"name": name, "limits": asdict(found)}])
        else:
            typer.echo(f"{name}: {_shown(asdict(found))}")


def _shown(limits: dict[str, int | None]) -> str:
    """Those that are set, in one line."""
    return ", ".join(f"{each} {value}" for each, value in limits.items() if value) or "none"


def _in_database(act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Do it in one transaction. Raises PromptmillError when no database is to be found."""
    url, _ = _place()
    return asyncio.run(_once(url, act))


async def _once(url: str, act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    await require_database(url)
    database = Database(url, pool_size=1, name="promptmill-tenants")
    try:
        async with database.transaction() as connection:
            return await act(connection)
    except ProgrammingError:
        message = "the database has no tables of ours: run `promptmill migrate` first"
        raise ConfigurationError(message) from None
    finally:
        await database.close()


def _place() -> tuple[str, str]:
    """The database and the pepper of its API; of this machine's stack both are known here."""
    surroundings = Surroundings.read()
    options = surroundings.options()
    running = find_running()
    if running is not None and options.database_url in {None, running.database_url}:
        return running.database_url, str(Home(options.home).read_state().extra["pepper"])
    if options.database_url is None:
        raise InputError("set DATABASE_URL, or start this machine's stack by `promptmill up`")
    return options.database_url, surroundings.values.get("PROMPTMILL_PEPPER", "")


def _pepper() -> SecretStr:
    """Raises InputError where it is not known: without it a new key would not count."""
    _, pepper = _place()
    if len(pepper) < LEAST_PEPPER:
        raise InputError("set PROMPTMILL_PEPPER to the one of the API: keys are hashed with it")
    return SecretStr(pepper)
