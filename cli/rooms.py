"""Which room of the command has which word: a room is entered when its word is said."""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

WORDS: Final = {
    "run": "cli.run.entry",
    "quote": "cli.quote.entry",
    "demo": "cli.run.entry",
    "submit": "cli.jobs.submit_entry",
    "tokens": "cli.tokens.entry",
    "explain": "cli.routing.entry",
    "routes": "cli.routing.entry",
    "watch": "cli.jobs.entry",
    "results": "cli.jobs.entry",
    "receipt": "cli.receipts.entry",
    "jobs": "cli.jobs.entry",
    "cancel": "cli.jobs.entry",
    "why": "cli.jobs.entry",
    "usage": "cli.usage.entry",
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
    "reconcile": "cli.reconcile.entry",
    "backup": "cli.operations.entry",
    "restore": "cli.operations.entry",
    "prune": "cli.operations.entry",
}
"""In the order in which `--help` shows them."""
GROUPS: Final = {
    "keys": "cli.account.keys",
    "budgets": "cli.budgets.entry",
    "webhooks": "cli.webhooks.entry",
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
            return _commands_of(module, cmd_name).get_command(ctx, cmd_name)
        if module := WORDS.get(cmd_name):
            return _commands_of(module).get_command(ctx, cmd_name)
        return super().get_command(ctx, cmd_name)


def _commands_of(module: str, name: str | None = None) -> TyperGroup:
    """The words of a room, as words of this command; under `name` where it is given."""
    command = typer.Typer(rich_markup_mode=None, add_completion=False)
    command.add_typer(import_module(module).app, name=name)
    group = get_command(command)
    assert isinstance(group, TyperGroup), "a Typer with a room in it is a group"  # noqa: S101
    return group
