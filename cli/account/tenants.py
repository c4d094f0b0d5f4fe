"""The words `tenants list`, `tenants create`, `tenants set-weight`: for who holds the database."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import typer
from pydantic import SecretStr
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from cli.errors import InputError, stderr, told_plainly
from cli.jobs.show import table
from cli.local.environment import Surroundings
from cli.local.given import require_database
from cli.local.stack import find_running
from cli.output import AsJson, print_json
from cli.stack.home import Home
from shared.db.engine import Database
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

Name = Annotated[str, typer.Argument(metavar="NAME")]
Weight = Annotated[int, typer.Option("--weight", min=1, max=MOST_WEIGHT, help="Its share.")]

app = typer.Typer(help="Tenants, over DATABASE_URL or this machine's running stack.")


@app.command("list", epilog="Examples:\n\n  promptmill tenants list --json")
def list_(*, as_json: AsJson = False) -> None:
    """List the tenants with their weights and how many keys count."""
    with told_plainly():
        rows = _in_database(list_tenants)
        found = [
            {"id": r.id, "name": r.name, "weight": r.weight, "keys": r.keys,
             "created_at": r.created_at.isoformat()}
            for r in rows
        ]  # fmt: skip
        if as_json:
            print_json(found)
            return
        for line in table(
            ([str(tenant[name]) for name in ("id", "name", "weight", "keys")] for tenant in found),
            ("ID", "NAME", "WEIGHT", "KEYS"),
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
