"""Schemas that callers write: what would cost more than an answer is worth is refused."""

from typing import Any

import orjson
import pytest

from shared.catalog.schemas import mistake_in


def doubling(depth: int) -> dict[str, Any]:
    names = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(depth)}
    return {"$ref": "#/$defs/a0", "$defs": {**names, f"a{depth}": {"type": "object"}}}


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        }
    },
    "anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}],
}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (doubling(60), "too many times"),
        (doubling(14), "too many times"),
        (
            {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
            "without an end",
        ),
        ({"$ref": "#"}, "without an end"),
        ({"$ref": "#/$defs/none"}, ""),
        ({"$ref": "https://example.org/schema.json"}, ""),
        ({"$dynamicRef": "#x"}, ""),
        ({"type": "nothing"}, ""),
        ({"maximum": 1.7976931348623157e308}, "too large a number"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_a_moment(schema: dict[str, Any], why: str) -> None:
    mistake = mistake_in(orjson.dumps(schema))
    assert mistake is not None
    assert why in mistake[1]


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, TREE, doubling(5), {"minimum": 0.5, "enum": [1, "$ref"]}]
)
def test_what_can_be_checked_is_taken(schema: dict[str, Any]) -> None:
    assert mistake_in(orjson.dumps(schema)) is None
