"""The words `keys list`, `create`, `limits`, `rotate`, `revoke`: a tenant's own keys."""

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from cli.errors import InputError, stderr
from cli.jobs.show import table
from cli.output import AsJson, print_json
from cli.server.address import Server
from cli.server.options import on_a_server, talk
from shared.security.keys import Scope

PATH: Final = "/api/v1/keys"
HEADER: Final = (
    "ID", "NAME", "SCOPES", "STATE", "CREATED", "EXPIRES", "LAST USED", "PROJECT", "LIMITS",
)  # fmt: skip
LIMITS: Final = ("max_running", "requests_per_minute")
CREATE_EXAMPLES: Final = """
Examples:

  promptmill keys create ci

  promptmill keys create dashboard --scope jobs:read --expires-in-days 90

  promptmill keys create nightly --requests-per-minute 60 --max-running 10

  promptmill keys create research --project research
"""
LIMITS_EXAMPLES: Final = """
Examples:

  promptmill keys limits key_06gvp37aldqhh801vvaql8icro --requests-per-minute 60

  promptmill keys limits key_06gvp37aldqhh801vvaql8icro --max-running 0
"""
ROTATE_EXAMPLES: Final = """
Examples:

  promptmill keys rotate key_06gvp37aldqhh801vvaql8icro

  promptmill keys rotate key_06gvp37aldqhh801vvaql8icro --old-hours 0
"""
Id = Annotated[str, typer.Argument(metavar="ID")]

app = typer.Typer(help="Keys of your tenant; needs a key with the scope admin.")


@app.command("list", epilog="Examples:\n\n  promptmill keys list --json")
@on_a_server
def list_(server: Server, *, as_json: AsJson = False) -> None:
    """List the tenant's keys, without their secrets."""
    keys = talk(server, lambda api: api.get(PATH))["data"]
    if as_json:
        print_json(keys)
        return
    for line in table(map(_row, keys), HEADER):
        typer.echo(line)


@app.command(epilog=CREATE_EXAMPLES)
@on_a_server
def create(  # noqa: PLR0913 - each is an option
    server: Server,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="jobs:read, jobs:write or admin; both jobs scopes if absent."),
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=3650)] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Requests to the api; a bulk request is one.")
    ] = None,
    max_running: Annotated[
        int | None, typer.Option(min=1, help="Calls in flight at one time.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", help="All jobs by it belong to this project.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key; it is shown this once, on stdout."""
    wishes = {
        "expires_in_days": expires_in_days, "requests_per_minute": requests_per_minute,
        "max_running": max_running, "project": project,
    }  # fmt: skip
    known = {each: value for each, value in wishes.items() if value is not None}
    body: dict[str, Any] = {"name": name, "scopes": checked_scopes(scope), **known}
    key = talk(server, lambda api: api.post(PATH, body))
    if as_json:
        print_json([key])
        return
    stderr.print(f"{key['id']} {', '.join(key['scopes'])}; shown only now:", markup=False)
    typer.echo(key["key"])


@app.command(epilog=LIMITS_EXAMPLES)
@on_a_server
def limits(
    server: Server,
    id_: Id,
    *,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=0, help="Requests to the api; a bulk request is one.")
    ] = None,
    max_running: Annotated[
        int | None, typer.Option(min=0, help="Calls in flight at one time.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set the limits of a key that are named; 0 takes one away."""
    given = {"requests_per_minute": requests_per_minute, "max_running": max_running}
    changes = {each: value or None for each, value in given.items() if value is not None}
    key = talk(server, lambda api: api.patch(_path(id_), changes))
    if as_json:
        print_json([key])
    else:
        typer.echo(f"{key['id']}: {_limits(key)}")


@app.command(epilog=ROTATE_EXAMPLES)
@on_a_server
def rotate(
    server: Server,
    id_: Id,
    *,
    old_hours: Annotated[
        float, typer.Option("--old-hours", min=0, max=720, help="The old secret counts so long.")
    ] = 24.0,
    force: Annotated[
        bool, typer.Option("--force", help="Also while two secrets count: the newer goes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret under the same limits; it is shown this once, on stdout."""
    params, body = ({"force": "true"} if force else {}), {"old_seconds": round(old_hours * 3600)}
    key = talk(server, lambda api: api.post(f"{_path(id_)}/rotate", body, params=params))
    if as_json:
        print_json([key])
        return
    until = key["old_secret_until"]
    old = f"the old secret counts until {until}" if until else "the old secret counts no longer"
    stderr.print(f"{key['id']}: {old}; the new one, shown only now:", markup=False)
    typer.echo(key["key"])


@app.command(epilog="Examples:\n\n  promptmill keys revoke key_06gvp37aldqhh801vvaql8icro")
@on_a_server
def revoke(
    server: Server,
    id_: Id,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also the last key with the scope admin.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Revoke a key; it counts no longer than a few seconds."""
    params = {"force": "true"} if force else {}
    key = talk(server, lambda api: api.post(f"{_path(id_)}/revoke", params=params))
    if as_json:
        print_json([key])
    else:
        typer.echo(f"{key['id']} is revoked")


def checked_scopes(scopes: list[str] | None) -> list[str]:
    """The scopes, or those of a key for jobs. Raises InputError."""
    for scope in scopes or []:
        if scope not in set(Scope):
            message = f"--scope {scope}: choose of {', '.join(Scope)}"
            raise InputError(message)
    return scopes or [Scope.JOBS_READ, Scope.JOBS_WRITE]


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    state = "revoked" if key["revoked_at"] else "counts"
    scopes = ",".join(key["scopes"])
    return (
        key["id"], key["name"], scopes, state, key["created_at"], key["expires_at"] or "never",
        key["last_used_at"] or "never", key["project"] or "-", _limits(key),
    )  # fmt: skip


def _limits(key: dict[str, Any]) -> str:
    return ", ".join(f"{each} {key[each]}" for each in LIMITS if key.get(each)) or "none"


def _path(id_: str) -> str:
    return f"{PATH}/{quote(id_, safe='')}"
