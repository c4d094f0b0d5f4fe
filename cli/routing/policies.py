"""The words `policy show`, `set` and `clear`: what holds for all jobs of the tenant."""

from typing import Annotated, Any, Final

import orjson
import typer

from cli.output import AsJson, print_json
from cli.routing.given import read_policy
from cli.server.address import Server
from cli.server.options import on_a_server, talk

PATH: Final = "/api/v1/policy"
SET_EXAMPLES: Final = """
Examples:

  promptmill policy set '{"fallbacks": {"default": ["claude-haiku-4-5"]}, "max_cost_usd": 0.5}'

  promptmill policy set policy.json
"""

app = typer.Typer(help="The policy of all jobs of your tenant: docs/routing.md.")


@app.command(epilog="Examples:\n\n  promptmill policy show --json")
@on_a_server
def show(server: Server, *, as_json: AsJson = False) -> None:
    """Show what holds for the tenant's jobs where neither job nor route says it."""
    _tell(talk(server, lambda api: api.get(PATH)), as_json=as_json)


@app.command("set", epilog=SET_EXAMPLES)
@on_a_server
def set_(
    server: Server,
    policy: Annotated[str, typer.Argument(metavar="JSON|FILE")],
    *,
    as_json: AsJson = False,
) -> None:
    """Put a policy in place of the one before; it needs a key with the scope admin."""
    value = read_policy(policy)
    _tell(talk(server, lambda api: api.put(PATH, value)), as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill policy clear")
@on_a_server
def clear(server: Server, *, as_json: AsJson = False) -> None:
    """Take the tenant's policy away; jobs that wait keep what they were submitted with."""
    _tell(talk(server, lambda api: api.delete(PATH)), as_json=as_json)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json([found])
    else:
        policy = found["policy"]
        typer.echo("none" if policy is None else orjson.dumps(policy).decode())
