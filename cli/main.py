"""The command `promptmill`: every room brings its words."""

from importlib.metadata import version as installed_version

import typer

from cli.account import keys, tenants
from cli.doctor import entry as doctor
from cli.jobs import entry as jobs
from cli.jobs import submit_entry as submit
from cli.local import entry as local
from cli.operations import entry as operations
from cli.output import AsJson, say
from cli.providers import entry as providers
from cli.routing import entry as routing
from cli.routing import policies
from cli.run import entry as run
from cli.server import entry as server

app = typer.Typer(
    help="Give it prompts, get back every answer.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for room in (
    run.app,
    submit.app,
    routing.app,
    jobs.app,
    server.app,
    local.app,
    doctor.app,
    operations.app,
):
    app.add_typer(room)
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(providers.app, name="providers")
app.add_typer(policies.app, name="policy")


@app.command(epilog="Examples:\n\n  promptmill version")
def version(*, as_json: AsJson = False) -> None:
    """Show the version."""
    number = installed_version("promptmill")
    say({"version": number}, number, as_json=as_json)


def main() -> None:
    """The console script."""
    app()
