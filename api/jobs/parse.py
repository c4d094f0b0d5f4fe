"""Bytes to a job that is asked for: every refusal names the field, and the line."""

from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from shared.domain.errors import InvalidRequestError
from shared.domain.places import first_mistake

Shape = TypeVar("Shape", bound=BaseModel)

MOST_LINES: Final = 1000
DEEPEST: Final = 32


class LineError(InvalidRequestError):
    """What is wrong with one line of a bulk body."""

    def __init__(self, line: int, cause: InvalidRequestError) -> None:
        super().__init__(f"line {line}: {cause.message}", field=cause.field)
        self.line = line
        self.code = cause.code


def parse_json(body: bytes) -> Any:
    """The JSON value of a body, free of what Postgres cannot keep."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"the body is not valid JSON: {error}"
        raise InvalidRequestError(message, field="body") from None
    if _may_be_unstorable(body):
        _refuse_unstorable(value, "", DEEPEST)
    return value


def parse_as(shape: type[Shape], value: Any) -> Shape:
    """The validated shape of a JSON value; the error names the first wrong field."""
    try:
        return shape.model_validate_json(orjson.dumps(value), strict=True)
    except ValidationError as error:
        field, message, more = first_mistake(value, error.errors())
        others = f" (and {more} more)" if more else ""
        message = f"{field or 'the body'}: {message}{others}"
        raise InvalidRequestError(message, field=field or "body") from None


def split_lines(body: bytes) -> list[tuple[int, bytes]]:
    """The numbered, non-empty lines of an NDJSON body."""
    lines = [(n, line) for n, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if not lines:
        message = "the body has no line; send one JSON object per line"
        raise InvalidRequestError(message, field="body")
    if len(lines) > MOST_LINES:
        message = f"the body has {len(lines)} lines; send at most {MOST_LINES} at once"
        raise InvalidRequestError(message, field="body")
    return lines


def _may_be_unstorable(body: bytes) -> bool:
    """Whether it pays to look: JSON can write a NUL in one way only, and depth takes brackets."""
    return b"\\u0000" in body or body.count(b"[") + body.count(b"{") > DEEPEST


def _refuse_unstorable(value: Any, path: str, depth: int) -> None:
    if depth == 0:
        message = f"{path}: nested deeper than {DEEPEST} levels"
        raise InvalidRequestError(message, field=path)
    match value:
        case str():
            if (at := value.find("\x00")) >= 0:
                where = path or "the body"
                message = f"{where}: a NUL character (U+0000) at position {at}; remove it"
                raise InvalidRequestError(message, field=where)
        case list():
            for i, item in enumerate(value):
                _refuse_unstorable(item, f"{path}[{i}]", depth - 1)
        case dict():
            for key, item in value.items():
                _refuse_unstorable(key, path, depth - 1)
                _refuse_unstorable(item, f"{path}.{key}".removeprefix("."), depth - 1)
        case _:
            return
