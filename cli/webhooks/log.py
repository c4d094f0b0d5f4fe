"""The words `webhooks deliveries` and `webhooks replay`."""

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from cli.client import Client
from cli.errors import InputError
from cli.output import AsJson, print_json, say
from cli.server.address import Server
from cli.server.options import on_a_server, talk
from cli.webhooks.find import path_of
from cli.webhooks.given import Events, Given, checked_events
from cli.webhooks.show import delivery_lines
from shared.domain.clock import SystemClock
from shared.domain.event import DeliveryState

DELIVERIES_EXAMPLES: Final = """
Examples:

  promptmill webhooks deliveries billing

  promptmill webhooks deliveries billing --state given_up --limit 500 --json
"""
REPLAY_EXAMPLES: Final = """
Examples:

  promptmill webhooks replay billing --delivery dlv_06gvp37aldqhh801vvaql8icro

  promptmill webhooks replay billing --since 2026-11-20T00:00:00Z --event job.succeeded

  promptmill webhooks replay billing --since 2026-11-20T00:00:00Z --delivered-too
"""
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="All that it missed, such as 2026-11-20T00:00Z."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to then; now.")]


@on_a_server
def deliveries(
    server: Server,
    given: Given,
    *,
    state: Annotated[
        str | None, typer.Option("--state", help=f"One of {', '.join(DeliveryState)}.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List what an endpoint was told, the newest first; --json has every try."""

    async def ask(api: Client) -> list[dict[str, Any]]:
        path = await path_of(api, given)
        page = await api.get(f"{path}/deliveries", state=state, limit=limit)
        found: list[dict[str, Any]] = page["data"]
        return found

    found = talk(server, ask)
    if as_json:
        print_json(found)
        return
    for line in delivery_lines(found):
        typer.echo(line)


@on_a_server
def replay(  # noqa: PLR0913 - each is an option
    server: Server,
    given: Given,
    *,
    delivery: Annotated[
        str | None, typer.Option("--delivery", metavar="ID", help="This one.")
    ] = None,
    since: Since = None,
    until: Until = None,
    event: Events = None,
    delivered_too: Annotated[
        bool, typer.Option("--delivered-too", help="Also what was delivered.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send again what an endpoint missed since a time, or one delivery."""
    if (delivery is None) == (since is None):
        raise InputError("say which: one --delivery, or all --since a time")
    if delivery is not None:
        _one(server, given, delivery, as_json=as_json)
        return
    # What is sent again is told anew: without an end it would be chosen again.
    wanted: dict[str, Any] = {"since": since, "until": until or SystemClock().now().isoformat()}
    if events := checked_events(event):
        wanted["event_types"] = events
    if delivered_too:
        ended = [each for each in DeliveryState if each is not DeliveryState.PENDING]
        wanted["states"] = ended
    count = talk(server, lambda api: _all(api, given, wanted))
    say({"replayed": count}, f"{count} deliveries are sent again", as_json=as_json)


def _one(server: Server, given: str, delivery: str, *, as_json: bool) -> None:
    async def send(api: Client) -> dict[str, Any]:
        path = f"{await path_of(api, given)}/deliveries/{quote(delivery, safe='')}/replay"
        return await api.post(path)

    sent = talk(server, send)
    if as_json:
        print_json([sent])
    else:
        typer.echo(f"{sent['id']} is on its way ({sent['event_type']} of {sent['subject']})")


async def _all(api: Client, given: str, wanted: dict[str, Any]) -> int:
    """How many were sent again, a page of them after the other."""
    count, after = 0, None
    path = f"{await path_of(api, given)}/replay"
    while True:
        reply = await api.post(path, {**wanted, "after": after} if after else wanted)
        count += int(reply["replayed"])
        if not (after := reply["next"]):
            return count
