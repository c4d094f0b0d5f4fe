"""The words `keys list`, `keys create`, `keys revoke`: a tenant's own keys."""

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
HEADER: Final = ("ID", "NAME", "SCOPES", "STATE", "CREATED", "EXPIRES", "PROJECT", "LIMITS")
LIMITS: Final = ("max_running", "requests_per_minute")
CREATE_EXAMPLES: Final = """
Examples:

  promptmill keys create ci

  promptmill keys create dashboard --scope jobs:read --expires-in-days 90

  promptmill keys create nightly --requests-per-minute 60 --max-running 10

  promptmill keys create research --project research
"""

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


@app.command(epilog="Examples:\n\n  promptmill keys revoke key_06gvp37aldqhh801vvaql8icro")
@on_a_server
def revoke(
    server: Server,
    id_: Annotated[str, typer.Argument(metavar="ID")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also the last key with the scope admin.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Revoke a key; it counts no longer than a few seconds."""
    params = {"force": "true"} if force else {}
    path = f"{PATH}/{quote(id_, safe='')}/revoke"
    key = talk(server, lambda api: api.post(path, params=params))
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
    limits = ", ".join(f"{each} {key[each]}" for each in LIMITS if key.get(each)) or "none"
    return (
        key["id"], key["name"], scopes, state, key["created_at"], key["expires_at"] or "never",
        key["project"] or "-", limits,
    )  # fmt: skip
