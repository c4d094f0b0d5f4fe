"""Which room of the command has which word: a room is entered when its word is said."""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

WORDS: Final = {
    "run": "cli.run.entry",
    "demo": "cli.run.entry",
    "submit": "cli.jobs.submit_entry",
    "explain": "cli.routing.entry",
    "routes": "cli.routing.entry",
    "watch": "cli.jobs.entry",
    "results": "cli.jobs.entry",
    "jobs": "cli.jobs.entry",
    "cancel": "cli.jobs.entry",
    "why": "cli.jobs.entry",
    "login": "cli.server.entry",
    "logout": "cli.server.entry",
    "up": "cli.local.entry",
    "down": "cli.local.entry",
    "status": "cli.local.entry",
    "logs": "cli.local.entry",
    "key": "cli.local.entry",
    "migrate": "cli.local.entry",
    "simulate": "cli.local.entry",
    "doctor": "cli.doctor.entry",
    "backup": "cli.operations.entry",
    "restore": "cli.operations.entry",
    "prune": "cli.operations.entry",
}
"""In the order in which `--help` shows them."""
GROUPS: Final = {
    "keys": "cli.account.keys",
    "tenants": "cli.account.tenants",
    "providers": "cli.providers.entry",
    "policy": "cli.routing.policies",
}
"""Words that have words of their own."""


class Rooms(TyperGroup):
    """Finds the room of a word; the others stay shut: to import all takes a second."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every word."""
        return [*WORDS, *GROUPS, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that word; None where there is none."""
        if module := GROUPS.get(cmd_name):
            group = get_command(_app(module))
            group.name = cmd_name
            return group
        if module := WORDS.get(cmd_name):
            room = get_command(_app(module))
            return room.get_command(ctx, cmd_name) if isinstance(room, TyperGroup) else room
        return super().get_command(ctx, cmd_name)


def _app(module: str) -> typer.Typer:
    app: typer.Typer = import_module(module).app
    return app
