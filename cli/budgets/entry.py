"""The words `budgets list`, `create`, `set`, `remove` and `alerts`."""

from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from cli.amounts import read_usd
from cli.budgets.scope import Whose, owned
from cli.budgets.show import alert_lines, budget_lines
from cli.client import Client
from cli.errors import InputError
from cli.output import AsJson, print_json
from cli.server.address import Server
from cli.server.options import on_a_server, talk
from shared.domain.ids import IdKind

PATH: Final = "/api/v1/budgets"
CREATE_EXAMPLES: Final = """
Examples:

  promptmill budgets create "all a month" --cap 500 --time-zone Europe/Berlin

  promptmill budgets create research --cap 20 --project research --every day --at-limit park

  promptmill budgets create careful --cap 100 --downgrade-to gpt-4.1-nano --downgrade-at 80
"""
SET_EXAMPLES: Final = """
Examples:

  promptmill budgets set research --cap 40

  promptmill budgets set research --at-limit reject --alert 50 --alert 100
"""

Given = Annotated[str, typer.Argument(metavar="NAME|ID")]
Cap = typer.Option("--cap", metavar="USD", parser=read_usd, help="The most in each window.")
Zone = Annotated[str, typer.Option("--time-zone", help="Its calendar: an IANA name.")]
Every = Annotated[
    str,
    typer.Option("--every", help="minute, hour, day, week, month, quarter, year or total."),
]
AtLimit = Annotated[
    str | None, typer.Option("--at-limit", help="reject (the default), park or downgrade.")
]
DowngradeTo = Annotated[
    str | None,
    typer.Option("--downgrade-to", help="The cheaper model or route that takes the jobs."),
]
DowngradeAt = Annotated[
    int | None, typer.Option("--downgrade-at", min=1, max=100, help="From this percent on.")
]
Alerts = Annotated[
    list[int] | None,
    typer.Option("--alert", min=1, max=1000, help="Percent to tell; repeat it. 75, 90, 100."),
]

app = typer.Typer(help="Budgets of your tenant: docs/money.md.")


@app.command("list", epilog="Examples:\n\n  promptmill budgets list --json")
@on_a_server
def list_(server: Server, *, as_json: AsJson = False) -> None:
    """List the budgets: what is spent, held and left in each one's window."""
    _tell(talk(server, lambda api: api.get(PATH))["data"], as_json=as_json)


@app.command(epilog=CREATE_EXAMPLES)
@on_a_server
@owned
def create(  # noqa: PLR0913 - each is an option
    server: Server,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    cap: Annotated[Decimal, Cap],
    whose: Whose,
    every: Every = "month",
    time_zone: Zone = "UTC",
    at_limit: AtLimit = None,
    downgrade_to: DowngradeTo = None,
    downgrade_at: DowngradeAt = None,
    alert: Alerts = None,
    as_json: AsJson = False,
) -> None:
    """Create a budget; it counts what is released from now on."""
    policy = _policy(at_limit, downgrade_to, downgrade_at, alert)
    window = {"cap_usd": str(cap), "every": every, "time_zone": time_zone}
    body = {"name": name, **whose.fields, **window, **policy}
    _tell([talk(server, lambda api: api.post(PATH, body))], as_json=as_json)


@app.command("set", epilog=SET_EXAMPLES)
@on_a_server
def set_(  # noqa: PLR0913 - each is an option
    server: Server,
    given: Given,
    *,
    cap: Annotated[Decimal | None, Cap] = None,
    at_limit: AtLimit = None,
    downgrade_to: DowngradeTo = None,
    downgrade_at: DowngradeAt = None,
    alert: Alerts = None,
    as_json: AsJson = False,
) -> None:
    """Change the cap of a budget, its alerts, or what happens at its limit."""
    changes = _policy(at_limit, downgrade_to, downgrade_at, alert)
    if cap is not None:
        changes["cap_usd"] = str(cap)
    if not changes:
        raise InputError("say what changes: --cap, --at-limit, --downgrade-to, --alert")

    async def change(api: Client) -> dict[str, Any]:
        return await api.patch(await _path(api, given), changes)

    _tell([talk(server, change)], as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill budgets remove research")
@on_a_server
def remove(server: Server, given: Given, *, as_json: AsJson = False) -> None:
    """Archive a budget: it limits nothing from now on; what it counted stays."""

    async def archive(api: Client) -> dict[str, Any]:
        return await api.delete(await _path(api, given))

    budget = talk(server, archive)
    if as_json:
        print_json([budget])
    else:
        typer.echo(f"{budget['name']} is archived ({budget['id']})")


@app.command(epilog="Examples:\n\n  promptmill budgets alerts research --json")
@on_a_server
def alerts(server: Server, given: Given, *, as_json: AsJson = False) -> None:
    """List the shares of its cap that a budget passed, the newest first."""

    async def ask(api: Client) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await api.get(f"{await _path(api, given)}/alerts"))["data"]
        return found

    told = talk(server, ask)
    if as_json:
        print_json(told)
        return
    for line in alert_lines(told):
        typer.echo(line)


def _policy(
    at_limit: str | None,
    downgrade_to: str | None,
    downgrade_at: int | None,
    alert: list[int] | None,
) -> dict[str, Any]:
    """What was said of the limit; a cheaper route alone says what happens there."""
    if at_limit is None and downgrade_to is not None:
        at_limit = "downgrade"
    said = {
        "at_limit": at_limit, "downgrade_to": downgrade_to, "downgrade_at": downgrade_at,
        "alerts": alert or None,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


async def _path(api: Client, given: str) -> str:
    """Of the budget of that id, or of that name. Raises InputError."""
    if given.startswith(f"{IdKind.BUDGET}_"):
        return f"{PATH}/{quote(given, safe='')}"
    found = [each["id"] for each in (await api.get(PATH))["data"] if each["name"] == given]
    if not found:
        message = f"no budget {given!r}; `promptmill budgets list` shows them"
        raise InputError(message)
    if len(found) > 1:
        message = f"{given!r} is the name of {' and '.join(found)}: say which by its id"
        raise InputError(message)
    return f"{PATH}/{found[0]}"


def _tell(budgets: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(budgets)
        return
    for line in budget_lines(budgets):
        typer.echo(line)
