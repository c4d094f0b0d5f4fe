"""What the words about webhooks are given."""

from typing import Annotated

import typer

from cli.errors import InputError
from shared.domain.event import EventType

Given = Annotated[str, typer.Argument(metavar="NAME|ID")]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", help="A type such as job.succeeded or batch.completed; repeat it."),
]


def checked_events(events: list[str] | None) -> list[str]:
    """The types of events, as they are. Raises InputError."""
    for event in events or []:
        if event not in set(EventType):
            message = f"--event {event}: choose of {', '.join(EventType)}"
            raise InputError(message)
    return [str(EventType(each)) for each in events or []]
