"""The faces of a job: as whose API its caller sees it."""

from enum import StrEnum


class Face(StrEnum):
    """What made a job, where it was not the native route."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RESPONSE = "response"
    MESSAGE = "message"
    LINE = "line"
    """A line of a batch's file."""
