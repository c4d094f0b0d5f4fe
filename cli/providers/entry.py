"""The words `providers list`, `check`, `enable`, `disable` and `refresh`."""

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from cli.errors import Exit
from cli.jobs.show import table
from cli.output import AsJson, print_json
from cli.server.address import Server
from cli.server.options import on_a_server, talk

PATH: Final = "/api/v1/providers"
HEADER: Final = ("ID", "STATE", "HEALTH", "CHECK", "CALLS", "MODELS", "WHY NOT")
STATES: Final = {True: "ready", False: "not ready", None: "no worker"}
LIST_EXAMPLES: Final = """
Examples:

  promptmill providers list

  promptmill providers list --all --json
"""
CHECK_EXAMPLES: Final = """
Examples:

  promptmill providers check

  promptmill providers check anthropic --json
"""
DISABLE_EXAMPLES: Final = """
Examples:

  promptmill providers disable openai --reason "the bill is not paid"
"""

app = typer.Typer(help="Providers: who can be called, who not and why, and their switch.")
Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command("list", epilog=LIST_EXAMPLES)
@on_a_server
def list_(
    server: Server,
    *,
    all_: Annotated[bool, typer.Option("--all", help="The stand-ins of rehearsals, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the providers: who can be called, how they do, and what the others lack."""
    _show([each for each in _providers(server) if all_ or not each["rehearsal"]], as_json=as_json)


@app.command(epilog=CHECK_EXAMPLES)
@on_a_server
def check(
    server: Server,
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="All that have a credential, if absent.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Ask providers something that costs nothing; exit code 1 when one does not answer."""
    named = [id_] if id_ is not None else _with_credential(_providers(server))
    checked = [_post(server, each, "check") for each in named]
    _show(checked, as_json=as_json)
    if not checked or any(each["health"]["state"] != "healthy" for each in checked):
        raise typer.Exit(Exit.SOME_FAILED)


@app.command(epilog="Examples:\n\n  promptmill providers enable openai")
@on_a_server
def enable(server: Server, id_: Id, *, as_json: AsJson = False) -> None:
    """Switch a provider on; jobs that waited for it go on within two seconds."""
    _show([_post(server, id_, "enable")], as_json=as_json)


@app.command(epilog=DISABLE_EXAMPLES)
@on_a_server
def disable(
    server: Server,
    id_: Id,
    *,
    reason: Annotated[str | None, typer.Option(help="What those who wait will read.")] = None,
    as_json: AsJson = False,
) -> None:
    """Switch a provider off for all; what is on its way ends as it does."""
    body = {"reason": reason} if reason else {}
    _show([_post(server, id_, "disable", body)], as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill providers refresh")
@on_a_server
def refresh(server: Server, *, as_json: AsJson = False) -> None:
    """Read the catalog's file again, now; a file with a mistake changes nothing."""
    found = talk(server, lambda api: api.post(f"{PATH}/refresh", {}))
    if as_json:
        print_json([found])
        return
    file = f" with {found['overlay']}" if found["overlay"] else ", without a file of yours"
    state = "a new catalog" if found["changed"] else "the catalog as before"
    typer.echo(f"{state}{file}: {found['providers']} providers, {found['models']} models")


def _providers(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = talk(server, lambda api: api.get(PATH))["data"]
    return found


def _with_credential(providers: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in providers if each["callable"]]


def _post(
    server: Server, id_: str, word: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    path = f"{PATH}/{quote(id_, safe='')}/{word}"
    found: dict[str, Any] = talk(server, lambda api: api.post(path, body))
    return found


def _show(providers: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(providers)
        return
    for line in table(map(_row, providers), HEADER):
        typer.echo(line)


def _row(provider: dict[str, Any]) -> tuple[str, ...]:
    health, calls = provider["health"], provider["calls"]
    return (
        provider["id"],
        _state(provider),
        health["state"],
        "-" if health["latency_ms"] is None else f"{health['latency_ms']} ms",
        f"{calls['median_ms']} ms" if calls else "-",
        str(len(provider["models"])),
        provider["why_not"] or _resting(provider) or health["error"] or "-",
    )


def _resting(provider: dict[str, Any]) -> str:
    """Which models are left alone because their calls failed, and for how long."""
    return "; ".join(
        f"{each['model']} failed too often, next call in {each['seconds']:.0f} s"
        for each in provider["resting"]
    )


def _state(provider: dict[str, Any]) -> str:
    if not provider["enabled"]:
        return "disabled"
    resting = len(provider["resting"])
    state = STATES[provider["callable"]]
    return f"{state}, {resting} resting" if resting else state
