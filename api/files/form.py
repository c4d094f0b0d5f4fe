"""A form with one file, read while it comes; the file's bytes go straight to who takes them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers

from shared.domain.errors import InvalidRequestError

FILE: Final = "file"
LONGEST_FIELD: Final = 16 * 1024
Take = Callable[[bytes], Awaitable[None]]
"""Gets the next bytes of the file."""


@dataclass(slots=True)
class Form:
    """What came beside the file's bytes."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    """None: there was no file."""


@dataclass(slots=True)
class _Part:
    """The part that comes now."""

    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


class _Reader:
    """Turns the parser's callbacks into the form and the bytes that are to be taken."""

    def __init__(self, boundary: bytes) -> None:
        self.form = Form()
        self.over = False
        self._part = _Part()
        self._taken = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header,
                "on_header_value": self._value,
                "on_header_end": self._header_ends,
                "on_part_data": self._data,
                "on_part_end": self._part_ends,
                "on_end": self._ends,
            },
        )

    def feed(self, data: bytes) -> bytes:
        """The file's bytes among these. Raises FormParserError."""
        self._parser.write(data)
        taken, self._taken = bytes(self._taken), bytearray()
        return taken

    def _part_begins(self) -> None:
        self._part = _Part()

    def _header(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _header_ends(self) -> None:
        part = self._part
        if bytes(part.header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(part.value))
            part.name = options.get(b"name", b"").decode("utf-8", "replace")
            if part.name == FILE:
                part.filename = options.get(b"filename", b"file").decode("utf-8", "replace")
                self.form.filename = part.filename
        part.header.clear()
        part.value.clear()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == FILE:
            self._taken += data[start:end]
            return
        self._part.data += data[start:end]
        if len(self._part.data) > LONGEST_FIELD:
            message = f"{self._part.name}: it is longer than {LONGEST_FIELD} bytes"
            raise InvalidRequestError(message, field=self._part.name)

    def _part_ends(self) -> None:
        if self._part.name != FILE:
            self.form.fields[self._part.name] = self._part.data.decode("utf-8", "replace")

    def _ends(self) -> None:
        self.over = True


async def read_form(headers: Headers, stream: AsyncIterator[bytes], take: Take) -> Form:
    """Read all of it. Raises InvalidRequestError for what is no such form."""
    kind, options = parse_options_header(headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        message = "the body must be multipart/form-data with a boundary"
        raise InvalidRequestError(message, field="body")
    reader = _Reader(boundary)
    try:
        async for data in stream:
            if taken := reader.feed(data):
                await take(taken)
    except FormParserError as error:
        message = f"the body is no well-formed multipart/form-data: {error}"
        raise InvalidRequestError(message, field="body") from None
    if not reader.over:
        message = "the body ends in the middle of a part"
        raise InvalidRequestError(message, field="body")
    return reader.form
