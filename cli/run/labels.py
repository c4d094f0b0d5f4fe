"""Whom jobs belong to, as options of the words that make them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from cli.spread import Options, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What every job of a command shares; each may be absent."""

    project: str | None = None
    tags: tuple[str, ...] = ()
    end_user: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """As a job says them."""
        said = {"project": self.project, "tags": list(self.tags), "end_user": self.end_user}
        return {name: value for name, value in said.items() if value}


NO_LABELS: Final = Labels()
OPTIONS: Final[Options] = {
    "project": (
        Annotated[str | None, typer.Option("--project", help="What of yours it is for.")],
        None,
    ),
    "tag": (
        Annotated[list[str] | None, typer.Option("--tag", help="Up to 8; repeat it.")],
        None,
    ),
    "user": (
        Annotated[str | None, typer.Option("--user", help="Whom it is for: an id, no name.")],
        None,
    ),
}


def labelled(act: Callable[..., object]) -> Callable[..., None]:
    """A word whose parameter `labels` the command line says by options."""

    @functools.wraps(act)
    def word(
        *given: Any, project: str | None, tag: list[str] | None, user: str | None, **more: Any
    ) -> None:
        tags = tuple(sorted(set(tag or ())))
        act(*given, labels=Labels(project=project, tags=tags, end_user=user), **more)

    spread(act, word, "labels", OPTIONS)
    return word
