"""Who is told of a job's end, as options of the words that make jobs."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from cli.errors import InputError
from cli.spread import Options, spread


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that is told, and of which ends; each may be absent."""

    url: str | None = None
    events: tuple[str, ...] = ()

    @property
    def fields(self) -> dict[str, Any]:
        """As a job says them."""
        said = {"webhook_url": self.url, "webhook_events": list(self.events)}
        return {name: value for name, value in said.items() if value}


NOBODY: Final = Webhook()
OPTIONS: Final[Options] = {
    "webhook_url": (
        Annotated[
            str | None,
            typer.Option("--webhook-url", metavar="URL", help="Is told of the end; https."),
        ],
        None,
    ),
    "webhook_event": (
        Annotated[
            list[str] | None,
            typer.Option("--webhook-event", help="Only of this end, as job.failed; repeat it."),
        ],
        None,
    ),
}


def told(act: Callable[..., object]) -> Callable[..., None]:
    """A word whose parameter `webhook` the command line says by options."""

    @functools.wraps(act)
    def word(
        *given: Any, webhook_url: str | None, webhook_event: list[str] | None, **more: Any
    ) -> None:
        if webhook_event and webhook_url is None:
            raise InputError("--webhook-event goes with --webhook-url")
        events = tuple(sorted(set(webhook_event or ())))
        act(*given, webhook=Webhook(webhook_url, events), **more)

    spread(act, word, "webhook", OPTIONS)
    return word
