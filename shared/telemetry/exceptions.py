"""Exceptions for the log: their types and places, without words that may quote a prompt."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.domain.errors import PromptmillError

FRAMES: Final = 12
"""The innermost places that are told of each exception."""
CHAIN: Final = 5
"""The exceptions that are told of a chain or group."""
SPEAKING: Final = (PromptmillError, OSError)
"""Whose words quote no prompt: ours are written for people, the system's name addresses."""


def retold(error: BaseException) -> str:
    """The exception, its causes and its parts: type, SQL state if any, and places, a line each."""
    lines = [line for each in list(_chain(error))[:CHAIN] for line in _one(each)]
    return "\n".join(lines)


def _chain(error: BaseException) -> Iterator[BaseException]:
    yield error
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _chain(part)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _chain(cause)


def _one(error: BaseException) -> Iterator[str]:
    kind = type(error)
    words = f": {str(error).partition(chr(10))[0]}" if isinstance(error, SPEAKING) else ""
    state = getattr(error, "sqlstate", None)
    yield f"{kind.__module__}.{kind.__qualname__}{f' ({state})' if state else ''}{words}"
    for frame in traceback.extract_tb(error.__traceback__)[-FRAMES:]:
        path = Path(frame.filename)
        yield f"  {'/'.join(path.parts[-2:])}:{frame.lineno} {frame.name}"
