"""What is said: messages, their parts, and calls of tools."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal

FORBID: Final[dict[str, Any]] = {"extra": "forbid"}


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """The result of one tool call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """Text."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    type: Literal["text"] = "text"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """An image, by an https URL or as `data:image/png;base64,…`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    type: Literal["image"] = "image"
    url: str
    detail: Literal["auto", "low", "high"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A document such as a PDF, by an https URL or as `data:application/pdf;base64,…`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    type: Literal["file"] = "file"
    url: str
    filename: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaquePart:
    """What only one wire understands, such as a thinking block: it goes back to it untouched.

    Adapters of another wire leave it out.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    type: Literal["opaque"] = "opaque"
    wire: str
    data: dict[str, Any]


Part = TextPart | ImagePart | FilePart | OpaquePart


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The model asks for a tool to be called."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    id: str
    name: str
    arguments: str
    """JSON text of an object, as the model wrote it."""
    signature: str | None = None
    """Gemini's thought signature: it must come back with the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of the conversation."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of the assistant."""
    tool_call_id: str | None = None
    """Of a tool's turn: the call that it answers."""
    is_error: bool = False
    """Of a tool's turn: the call failed, and `content` says why."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts; none where it is empty."""
        if isinstance(self.content, str):
            return (TextPart(text=self.content),) if self.content else ()
        return self.content

    @property
    def text(self) -> str:
        """The text of all its parts."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))
