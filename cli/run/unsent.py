"""Lines that a budget left no room for when they were handed over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.errors import InputError


@dataclass(frozen=True, slots=True)
class Unsent:
    """In place of a job's id: why there is no job."""

    message: str

    def as_job(self) -> dict[str, Any]:
        """What stands for the job in the answers: a failure that cost nothing."""
        return {
            "id": None, "state": "failed", "model": None, "result": None, "tries": 0,
            "cost": {"nano_usd": 0, "usd": "0", "unknown": False},
            "error": {"kind": "budget", "message": f"not submitted: {self.message}"},
        }  # fmt: skip


Handed = str | Unsent
"""What became of a line: its job's id, or why it has none."""


def sent(handed: Sequence[Handed]) -> list[str]:
    """The ids of those that became jobs. Raises InputError where none did."""
    found = [each for each in handed if isinstance(each, str)]
    if handed and not found:
        raise InputError(_first(handed))
    return found


def require_all(handed: Sequence[Handed]) -> list[str]:
    """The id of each. Raises InputError that says how many became jobs before one did not."""
    found = sent(handed)
    if len(found) < len(handed):
        message = f"{len(found)} of {len(handed)} lines were accepted: {_first(handed)}"
        raise InputError(message)
    return found


def _first(handed: Sequence[Handed]) -> str:
    return next(each.message for each in handed if isinstance(each, Unsent))
