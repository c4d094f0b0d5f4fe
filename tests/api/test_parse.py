"""A wrong body is told by the path that people write, and by the form that was meant."""

from typing import Any

import pytest

from api.jobs.parse import parse_as
from api.jobs.schemas import JobSubmit
from shared.domain.errors import InvalidRequestError


def content(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def refused(request: dict[str, Any], **more: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_as(JobSubmit, {"request": {"model": "m", **request}, **more})
    return caught.value


@pytest.mark.parametrize(
    ("request_", "path", "says"),
    [
        (content({"type": "text", "text": 5}), ".messages[0].content[0].text", "valid string"),
        (content({"type": "text"}), ".messages[0].content[0].text", "Field required"),
        (content({"type": "image"}), ".messages[0].content[0].url", "Field required"),
        (
            content({"type": "text", "text": "a"}, {"type": "image", "url": "x", "detail": "huge"}),
            ".messages[0].content[1].detail",
            "'auto', 'low' or 'high'",
        ),
        (
            content({"type": "imag", "url": "x"}),
            ".messages[0].content[0].type",
            "Input should be 'text' or 'image' or 'file' or 'opaque'",
        ),
        (content({"type": "opaque", "wire": "w", "data": 5}), ".messages[0].content[0].data", "an"),
        (content(5), ".messages[0].content[0]", "object"),
        (
            {"messages": [{"role": "user", "content": 5}]},
            ".messages[0].content",
            "a valid string or a valid array",
        ),
        ({"messages": [{"role": "usr", "content": ""}]}, ".messages[0].role", "'tool'"),
        ({"tool_choice": {"nam": "x"}}, ".tool_choice.name", "Field required"),
        ({"tool_choice": "some"}, ".tool_choice", "'auto', 'none' or 'required' or an object"),
        ({"input": ["a", 5]}, ".input[1]", "valid string"),
        ({"metadata": {"a": 5}}, ".metadata.a", "valid string"),
        ({"response_schema": {"schema": {}, "x": 5}}, ".response_schema.x", "Unexpected"),
        ({"temprature": 1}, ".temprature", "Unexpected"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_is(request_: dict[str, Any], path: str, says: str) -> None:
    error = refused(request_)
    assert error.field == f"request{path}"
    assert error.message.startswith(f"request{path}: ")
    assert says in error.message


def test_other_mistakes_are_counted_once_each() -> None:
    error = refused({"temperature": "hot", **content({"type": "image"})}, lane="slow")
    assert error.message.endswith("(and 2 more)")
