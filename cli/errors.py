"""Mistakes of users become one line and an exit code; nothing here prints a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer
from rich.console import Console

from shared.domain.errors import PromptmillError

stderr = Console(stderr=True, soft_wrap=True, highlight=False)


class Exit(IntEnum):
    """What the command tells the shell."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


class InputError(PromptmillError):
    """What the user gave cannot be used; each line of the message names where."""

    code = "input"


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn an expected error into its message and exit code."""
    try:
        yield
    except PromptmillError as error:
        stderr.print(f"promptmill: {error.message}", markup=False)
        raise typer.Exit(Exit.USAGE) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
