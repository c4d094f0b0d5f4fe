"""The word `usage`."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import typer

from cli.client import Client
from cli.errors import InputError
from cli.output import AsJson, print_json
from cli.server.address import Server
from cli.server.options import on_a_server, talk
from cli.usage.given import chosen, times, words
from cli.usage.show import savings_lines, usage_csv, usage_lines

PATH: Final = "/api/v1/usage"
EXAMPLES: Final = """
Examples:

  promptmill usage --by model --every day --last 7d

  promptmill usage --by project,outcome --every total --from 2026-03-01 --to 2026-04-01

  promptmill usage --every hour --last 24h --where model=gpt-4.1-mini --csv

  promptmill usage --savings --last 30d
"""
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by", help="project, key, tag, provider, model, route or outcome; repeat it, or commas."
    ),
]
Every = Annotated[str, typer.Option("--every", help="minute, hour, day, week, month or total.")]
Last = Annotated[
    str | None, typer.Option("--last", metavar="7d", help="24h, 7d (today with it) or 4w.")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Calls sent then or later.")
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Calls sent before.")]
Zone = Annotated[str, typer.Option("--time-zone", help="Where days and months begin: IANA.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="NAME=VALUE", help="Only these calls; repeat it."),
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", help="For operators: another tenant, or * for all.")
]
Rehearsals = Annotated[
    bool, typer.Option("--rehearsals", help="Only rehearsals; otherwise none of them.")
]
Savings = Annotated[
    bool, typer.Option("--savings", help="What the same calls would have cost elsewhere.")
]
AsCsv = Annotated[bool, typer.Option("--csv", help="For spreadsheets.")]

app = typer.Typer()


@app.command(epilog=EXAMPLES)
@on_a_server
def usage(  # noqa: PLR0913 - each is an option
    server: Server,
    *,
    by: By = None,
    every: Every = "day",
    last: Last = None,
    start: From = None,
    end: To = None,
    time_zone: Zone = "UTC",
    where: Where = None,
    tenant: Tenant = None,
    rehearsals: Rehearsals = False,
    savings: Savings = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Sum up calls, tokens, cost and latency by period and word, or tell what would cost less."""
    asked = {**times(last, start, end), "tenant": tenant}
    if savings:
        if by or where or as_csv or rehearsals:
            raise InputError("--savings: it goes with times, --tenant and --json alone")
        _savings(server, asked, as_json=as_json)
        return
    group_by = words(by or ())
    query = {
        **asked, **chosen(where or ()), "every": every, "time_zone": time_zone,
        "group_by": ",".join(group_by), "rehearsals": rehearsals,
    }  # fmt: skip
    rows = talk(server, lambda api: _rows(api, query))
    if as_json:
        print_json(rows)
    elif as_csv:
        typer.echo(usage_csv(rows, group_by), nl=False)
    else:
        for line in usage_lines(rows, every=every, time_zone=time_zone, by=group_by):
            typer.echo(line)


def _savings(server: Server, asked: dict[str, Any], *, as_json: bool) -> None:
    report = talk(server, lambda api: api.get(f"{PATH}/savings", **asked))
    if as_json:
        print_json([report])
        return
    for line in savings_lines(report):
        typer.echo(line)


async def _rows(api: Client, query: dict[str, Any]) -> list[dict[str, Any]]:
    return [row async for row in _pages(api, query)]


async def _pages(api: Client, query: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Every row, page by page."""
    after = None
    while True:
        page = await api.get(PATH, **query, after=after)
        for row in page["data"]:
            yield row
        if not page["has_more"]:
            return
        after = page["next"]
