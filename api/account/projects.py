"""Which project of its tenant the work of a key belongs to."""

from shared.db.tenants import Caller
from shared.domain.errors import NotPermittedError


def project_of(caller: Caller, asked: str | None) -> str | None:
    """What is asked for, or what the key is bound to. Raises NotPermittedError if both differ."""
    if caller.project is None:
        return asked
    if asked not in {None, caller.project}:
        message = (
            f"project: this API key belongs to the project {caller.project!r}: name that one or "
            f"none, or send {asked!r} by another key"
        )
        raise NotPermittedError(message, field="project")
    return caller.project
