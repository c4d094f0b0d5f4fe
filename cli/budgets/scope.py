"""What a budget is for, as options: one of them, or none for all that the tenant spends."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from cli.errors import InputError
from cli.spread import Options, spread
from shared.domain.budget import Scope


@dataclass(frozen=True, slots=True)
class Whose:
    """What of whose calls a budget counts."""

    scope: Scope
    subject: str | None
    house: bool

    @property
    def fields(self) -> dict[str, Any]:
        """As POST /budgets takes it."""
        return {"scope": self.scope, "subject": self.subject, "house": self.house}


SUBJECTS: Final = {
    Scope.PROJECT: "Of this project.",
    Scope.TAG: "Of jobs with this tag.",
    Scope.BATCH: "Of this batch.",
    Scope.MODEL: "Of this model.",
    Scope.PROVIDER: "Of this provider.",
    Scope.KEY: "Of this key, by its id.",
}
OPTIONS: Final[Options] = {
    **{
        scope.value: (Annotated[str | None, typer.Option(f"--{scope}", help=said)], None)
        for scope, said in SUBJECTS.items()
    },
    "house": (
        Annotated[bool, typer.Option("--house", help="Over all tenants; for operators.")],
        False,
    ),
}


def owned(act: Callable[..., object]) -> Callable[..., None]:
    """A word whose parameter `whose` the command line says by options."""

    @functools.wraps(act)
    def word(*given: Any, house: bool, **more: Any) -> None:
        named = {scope: more.pop(scope.value) for scope in SUBJECTS}
        said = [(scope, subject) for scope, subject in named.items() if subject is not None]
        if len(said) > 1:
            options = " and ".join(f"--{scope}" for scope, _ in said)
            message = f"{options}: a budget is for one of them; create one for each"
            raise InputError(message)
        scope, subject = said[0] if said else (Scope.ALL, None)
        act(*given, whose=Whose(scope, subject, house), **more)

    spread(act, word, "whose", OPTIONS)
    return word
