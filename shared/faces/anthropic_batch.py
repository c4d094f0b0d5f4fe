"""The body of a batch of Anthropic's API, read while it streams in: one request at a time."""

import codecs
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import orjson

from shared.domain.errors import BodyTooLargeError, InvalidRequestError
from shared.faces.openai_messages import Json, wanted

REQUESTS: Final = "requests"
CUSTOM_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(slots=True)
class Beside:
    """What is known of a body once its requests are read."""

    count: int = 0
    """The requests."""
    more: Json = field(default_factory=dict)
    """What stands beside them."""


async def lines_of(
    body: AsyncIterator[bytes], beside: Beside, *, longest: int, most: int
) -> AsyncIterator[bytes]:
    """A line of JSON for each of up to `most` requests.

    Memory holds one value of up to `longest` characters. Raises InvalidRequestError.
    """
    custom_ids: set[str] = set()
    async for value in _requests(Reader(body, longest), beside.more):
        if len(custom_ids) >= most:
            message = f"{REQUESTS}: they are more than {most}; send them in several batches"
            raise BodyTooLargeError(message, field=REQUESTS)
        where = f"{REQUESTS}[{len(custom_ids)}]"
        request = wanted(value, dict, where, "an object")
        custom_ids.add(_custom_id(request, custom_ids, where))
        yield _line(request, where)
    beside.count = len(custom_ids)
    if not beside.count:
        message = f"{REQUESTS}: it must be a list of one request or more"
        raise InvalidRequestError(message, field=REQUESTS)


def _custom_id(request: Json, known: set[str], where: str) -> str:
    place, custom_id = f"{where}.custom_id", request.get("custom_id")
    if not isinstance(custom_id, str) or not CUSTOM_ID.fullmatch(custom_id):
        message = f"{place}: it must be 1 to 64 letters, digits, hyphens or underscores"
        raise InvalidRequestError(message, field=place)
    if custom_id in known:
        message = f"{place}: {custom_id!r} is that of another request, too"
        raise InvalidRequestError(message, field=place)
    return custom_id


def _line(request: Json, where: str) -> bytes:
    place = f"{where}.params"
    params = wanted(request.get("params"), dict, place, "an object")
    if params.get("stream"):
        message = f"{place}.stream: requests of a batch have no stream; leave it out"
        raise InvalidRequestError(message, field=f"{place}.stream")
    try:
        return orjson.dumps({"custom_id": request["custom_id"], "params": params}) + b"\n"
    except TypeError:
        message = f"{place}: it has half a character, a number too large, or too many levels"
        raise InvalidRequestError(message, field=place) from None


async def _requests(reader: "Reader", more: Json) -> AsyncIterator[Any]:
    await reader.take("{")
    while await reader.peek() != "}":
        name = wanted(await reader.value(), str, "body", "an object")
        await reader.take(":")
        if name == REQUESTS and await reader.peek() == "[":
            await reader.take("[")
            while await reader.peek() != "]":
                yield await reader.value()
                await reader.comma("]")
            await reader.take("]")
        else:
            more[name] = await reader.value()
        await reader.comma("}")
    await reader.take("}")
    if await reader.peek():
        raise _invalid("something follows the object")


class Reader:
    """JSON from a stream, value by value."""

    def __init__(self, stream: AsyncIterator[bytes], longest: int) -> None:
        self._stream = stream
        self._longest = longest
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder(parse_constant=_no_constant)
        self._text = ""
        self._place = 0
        self._over = False
        """The stream is."""

    async def peek(self) -> str:
        """The next character that is no space; nothing at the end."""
        while True:
            self._place = self._after_space()
            if self._place < len(self._text):
                return self._text[self._place]
            if self._over:
                return ""
            await self._grow()

    async def take(self, expected: str) -> None:
        """Go behind this character. Raises InvalidRequestError where another stands."""
        if await self.peek() != expected:
            raise _invalid(f"a {expected!r} is missing")
        self._place += 1

    async def comma(self, end: str) -> None:
        """Go behind a comma and before a value, or before the end."""
        if await self.peek() != end:
            await self.take(",")
            if await self.peek() == end:
                raise _invalid(f"a value is missing before {end!r}")

    async def value(self) -> Any:
        """The next value. Raises InvalidRequestError."""
        await self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if self._over:
                    raise _invalid(error.msg) from None
            except RecursionError:
                raise _invalid("it has too many levels") from None
            else:
                # A number may go on in the next part.
                if end < len(self._text) or self._over:
                    self._place = end
                    return value
            await self._grow()

    def _after_space(self) -> int:
        found = SPACE.match(self._text, self._place)
        return found.end() if found else self._place

    async def _grow(self) -> None:
        """Read on until there is twice as much: what is long is not tried again at each part."""
        self._text = self._text[self._place :]
        self._place = 0
        if len(self._text) > self._longest:
            message = f"{REQUESTS}: one of them is larger than {self._longest} bytes"
            raise BodyTooLargeError(message, field=REQUESTS)
        parts, size = [self._text], len(self._text)
        while size <= 2 * len(self._text) and not self._over:
            data = await anext(self._stream, b"")
            self._over = not data
            parts.append(self._decoded(data))
            size += len(parts[-1])
        self._text = "".join(parts)

    def _decoded(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise _invalid("it is not UTF-8") from None


def _no_constant(name: str) -> NoReturn:
    raise _invalid(f"{name} is no number")


def _invalid(reason: str) -> InvalidRequestError:
    message = f"the body is not valid JSON: {reason}"
    return InvalidRequestError(message, field="body")
