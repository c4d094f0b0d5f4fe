"""What a check of the doctor says."""

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.errors import ConfigurationError, PromptmillError


class Level(StrEnum):
    """How much it matters."""

    OK = "ok"
    WARNING = "warning"
    """It runs, but not well, or not for real work."""
    PROBLEM = "problem"
    """It does not run, or loses what it must not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: Level
    what: str
    way_out: str = ""


def ok(what: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, what)


def warning(what: str, way_out: str) -> Finding:
    """It could be better."""
    return Finding(Level.WARNING, what, way_out)


def problem(what: str, way_out: str) -> Finding:
    """It must be mended."""
    return Finding(Level.PROBLEM, what, way_out)


def complaint(error: PromptmillError) -> Finding:
    """What would keep a stack from being started here."""
    if isinstance(error, ConfigurationError):
        return problem(error.message, "correct it, or leave it out for the default")
    what, _, way_out = error.message.rpartition(": ")
    return problem(what, way_out)
