"""The words about endpoints; those about what they were told stand beside."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import typer

from cli.client import Client
from cli.errors import Exit, InputError, stderr
from cli.output import AsJson, print_json
from cli.server.address import Server
from cli.server.options import on_a_server, talk
from cli.webhooks import log
from cli.webhooks.find import PATH, pages, path_of
from cli.webhooks.given import Events, Given, checked_events
from cli.webhooks.show import endpoint_lines, endpoint_story
from shared.domain.event import EventType

ADD_EXAMPLES: Final = """
Examples:

  promptmill webhooks add billing https://hooks.example.com/mill --event job.succeeded

  promptmill webhooks add mine https://hooks.example.com/jobs --for-jobs --event job.failed

  promptmill webhooks add batches https://hooks.example.com/b --event batch.completed --json
"""
SET_EXAMPLES: Final = """
Examples:

  promptmill webhooks set billing --to https://hooks.example.com/new

  promptmill webhooks set billing --event job.succeeded --event job.failed
"""
TEST_EXAMPLES: Final = """
Examples:

  promptmill webhooks test billing --event batch.completed

Exit codes: 0 it answered with 2xx, 1 it did not, 2 refused.
"""

app = typer.Typer(help="Webhooks of your tenant: docs/webhooks.md; needs the scope admin.")
app.command("deliveries", epilog=log.DELIVERIES_EXAMPLES)(log.deliveries)
app.command("replay", epilog=log.REPLAY_EXAMPLES)(log.replay)


@app.command("list", epilog="Examples:\n\n  promptmill webhooks list --json")
@on_a_server
def list_(server: Server, *, as_json: AsJson = False) -> None:
    """List the endpoints and how they do, those that single jobs name too."""

    async def ask(api: Client) -> list[dict[str, Any]]:
        return [each async for each in pages(api, PATH)]

    found = talk(server, ask)
    if as_json:
        print_json(found)
        return
    for line in endpoint_lines(found):
        typer.echo(line)


@app.command(epilog=ADD_EXAMPLES)
@on_a_server
def add(
    server: Server,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    to: Annotated[str, typer.Argument(metavar="URL", help="https, on the public internet.")],
    *,
    event: Events = None,
    for_jobs: Annotated[
        bool, typer.Option("--for-jobs", help="Only for the jobs that name this URL.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint; its signing secret is on stdout, this once."""
    events = checked_events(event)
    if not events:
        raise InputError("say what it is told: --event job.succeeded, for one; repeat it")
    body = {"name": name, "url": to, "event_types": events, "for_jobs": for_jobs}
    _tell_secret(talk(server, lambda api: api.post(PATH, body)), as_json=as_json)


@app.command("set", epilog=SET_EXAMPLES)
@on_a_server
def set_(
    server: Server,
    given: Given,
    *,
    name: Annotated[str | None, typer.Option("--name")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="URL", help="Its new URL.")] = None,
    event: Events = None,
    as_json: AsJson = False,
) -> None:
    """Change the name, URL or events of an endpoint; what waits goes to the new URL."""
    said = {"name": name, "url": to, "event_types": checked_events(event) or None}
    changes = {each: value for each, value in said.items() if value is not None}
    if not changes:
        raise InputError("say what changes: --name, --to, --event")

    async def change(api: Client) -> dict[str, Any]:
        return await api.patch(await path_of(api, given), changes)

    _tell(talk(server, change), as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill webhooks show billing\n\n"
             "  promptmill webhooks show we_06gvp37aldqhh801vvaql8icro --secret")  # fmt: skip
@on_a_server
def show(
    server: Server,
    given: Given,
    *,
    secret: Annotated[
        bool, typer.Option("--secret", help="Only the secret, of an endpoint of single jobs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show an endpoint and how it does."""

    async def ask(api: Client) -> dict[str, Any]:
        return await api.get(await path_of(api, given) + ("/secret" if secret else ""))

    tell = _tell_secret if secret else _tell
    tell(talk(server, ask), as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill webhooks remove billing")
@on_a_server
def remove(server: Server, given: Given, *, as_json: AsJson = False) -> None:
    """Delete an endpoint: it is told nothing more, of what waits neither."""

    async def delete(api: Client) -> dict[str, Any]:
        return await api.delete(await path_of(api, given))

    gone = talk(server, delete)
    if as_json:
        print_json([gone])
    else:
        typer.echo(f"{gone['id']} is deleted")


@app.command(epilog="Examples:\n\n  promptmill webhooks rotate billing")
@on_a_server
def rotate(
    server: Server,
    given: Given,
    *,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="The old secret signs no more; else 24 hours.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give an endpoint a new secret, on stdout; for 24 hours the old one signs, too."""
    _tell_secret(talk(server, _act(given, "rotate", {"keep_old": not at_once})), as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill webhooks enable billing")
@on_a_server
def enable(server: Server, given: Given, *, as_json: AsJson = False) -> None:
    """Enable an endpoint that was disabled; `webhooks replay` sends what it missed."""
    _tell(talk(server, _act(given, "enable")), as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill webhooks disable billing")
@on_a_server
def disable(server: Server, given: Given, *, as_json: AsJson = False) -> None:
    """Disable an endpoint: it is told nothing until it is enabled."""
    _tell(talk(server, _act(given, "disable")), as_json=as_json)


@app.command("test", epilog=TEST_EXAMPLES)
@on_a_server
def try_out(
    server: Server,
    given: Given,
    *,
    event: Annotated[str, typer.Option("--event", help="What the sample says.")] = (
        EventType.JOB_SUCCEEDED
    ),
    as_json: AsJson = False,
) -> None:
    """Send an endpoint a signed sample, now, and tell what came of it."""
    [kind] = checked_events([event])
    tested = talk(server, _act(given, "test", {"event_type": kind}))
    if as_json:
        print_json([tested])
    else:
        said = tested["error"] or f"it answered with status {tested['status_code']}"
        typer.echo(f"{kind}: {said}, after {tested['milliseconds']} ms")
    if not tested["delivered"]:
        raise typer.Exit(Exit.SOME_FAILED)


def _act(
    given: str, word: str, body: dict[str, Any] | None = None
) -> Callable[[Client], Awaitable[dict[str, Any]]]:
    """What POST to that word of an endpoint answers."""

    async def act(api: Client) -> dict[str, Any]:
        return await api.post(f"{await path_of(api, given)}/{word}", body)

    return act


def _tell(endpoint: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json([endpoint])
        return
    for line in endpoint_story(endpoint):
        typer.echo(line)


def _tell_secret(endpoint: dict[str, Any], *, as_json: bool) -> None:
    """The secret alone goes to stdout: a program may read it from there."""
    if as_json:
        print_json([endpoint])
        return
    stderr.print(f"{endpoint['id']} {endpoint['url']}; its signing secret:", markup=False)
    typer.echo(endpoint["signing_secret"])
