"""What may go wrong with a local stack, told to a person."""

from shared.domain.errors import PromptmillError


class StackError(PromptmillError):
    """The local stack cannot be started, stopped or found; the message says the way out."""

    code = "stack"


class AlreadyRunningError(StackError):
    """Another launcher holds this home."""

    code = "already_running"


class StartError(StackError):
    """A child did not become ready; the message ends with the last lines of its log."""

    code = "start"
