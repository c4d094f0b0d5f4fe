"""A batch of Anthropic's is read while it streams in, however its body is cut into parts."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.domain.errors import BodyTooLargeError, InvalidRequestError
from shared.faces.anthropic_batch import Beside, lines_of

BODY: dict[str, Any] = {
    "promptmill": {"tags": ["tea"], "max_cost": 12},
    "requests": [
        {"custom_id": "a", "params": {"model": "m", "text": 'a "q", a [ and } \\ and \n ü €'}},
        {"custom_id": "b-1", "params": {"max_tokens": 12345, "messages": []}},
    ],
    "last": 17,
}


async def parts(body: bytes, size: int) -> AsyncIterator[bytes]:
    for first in range(0, len(body), size):
        yield body[first : first + size]


async def read(
    body: bytes, *, size: int = 7, longest: int = 1000, most: int = 10
) -> tuple[list[Any], Beside]:
    beside = Beside()
    lines = lines_of(parts(body, size), beside, longest=longest, most=most)
    return [json.loads(line) async for line in lines], beside


@pytest.mark.parametrize("size", [1, 2, 3, 64, 10_000])
@pytest.mark.parametrize("indent", [None, 2])
async def test_every_request_is_a_line_wherever_the_body_is_cut(
    size: int, indent: int | None
) -> None:
    for escaped in (True, False):
        body = json.dumps(BODY, indent=indent, ensure_ascii=escaped).encode()
        lines, beside = await read(body, size=size)
        assert lines == BODY["requests"]
        assert (beside.count, beside.more) == (2, {"promptmill": BODY["promptmill"], "last": 17})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "body"),
        ("[]", "body"),
        ('{"requests": [{"custom_id": "a", "params": {}}]', "body"),
        ('{"requests": [{"custom_id": "a", "params": {}}]} x', "body"),
        ('{"requests": [{"custom_id": "a", "params": {}},]}', "body"),
        ('{"requests": [{"custom_id": "a", "params": {"top_p": NaN}}]}', "body"),
        ('{"requests": [' + "[" * 900, "body"),
        ("{}", "requests"),
        ('{"requests": {}}', "requests"),
        ('{"requests": [5]}', "requests[0]"),
        ('{"requests": [{"custom_id": "a", "params": {"x": 123456789012345678901234}}]}',
         "requests[0].params"),
        ('{"requests": [{"custom_id": "a", "params": {"x": "\\ud800"}}]}', "requests[0].params"),
    ],
)  # fmt: skip
async def test_what_is_no_batch_is_refused(body: str, field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await read(body.encode())
    assert refused.value.field == field


async def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="UTF-8"):
        await read(b'{"requests": ["\xff"]}')


async def test_memory_holds_no_request_that_is_too_large_and_no_more_than_are_taken() -> None:
    body = json.dumps(BODY).encode()
    with pytest.raises(BodyTooLargeError, match="larger than 40"):
        await read(body, longest=40)
    with pytest.raises(BodyTooLargeError, match="more than 1"):
        await read(body, most=1)
