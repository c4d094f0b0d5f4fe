"""What the generator makes fits the schema that it was made for."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.schemas import fitting

NAMES = st.sampled_from(["city", "days", "sky", "é x"])


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    low = draw(st.integers(-50, 50))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        high = low + draw(st.integers(2, 9))
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = max(high, 2)
    return schema


@st.composite
def texts(draw: st.DrawFn) -> dict[str, Any]:
    least = draw(st.integers(0, 40))
    bounds = {"minLength": least, "maxLength": least + draw(st.integers(0, 9))}
    chosen = [name for name in bounds if draw(st.booleans())]
    return {"type": "string", **{name: bounds[name] for name in chosen}}


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(NAMES, inner, max_size=3).flatmap(
        lambda properties: st.sampled_from(
            [
                {"type": "object", "properties": properties, "additionalProperties": False},
                {"type": "object", "properties": properties, "required": list(properties)},
                {"properties": properties, "required": list(properties)},
            ]
        )
    )


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least, "maxItems": 3},
        inner,
        st.integers(0, 3),
    )


PLAIN = (
    numbers()
    | texts()
    | st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["null", "string"]},
            {"enum": ["C", 5, None]},
            {"const": {"a": 1}},
            {"type": "string", "format": "date"},
            {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            {},
        ]
    )
)
SCHEMAS = st.recursive(PLAIN, lambda inner: objects(inner) | arrays(inner), max_leaves=8)


@given(schema=SCHEMAS, seed=st.binary(max_size=4))
def test_every_value_fits_its_schema(schema: dict[str, Any], seed: bytes) -> None:
    value = fitting(schema, seed, "word")
    assert jsonschema_rs.validator_for(schema).is_valid(value), value
    assert value == fitting(schema, seed, "word")


@pytest.mark.parametrize("word", ["anyOf", "oneOf"])
def test_a_schema_of_itself_ends(word: str) -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {word: [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["name", "next"],
            }
        },
    }
    assert jsonschema_rs.validator_for(schema).is_valid(fitting(schema, b"", "word"))


def test_geminis_capitals_are_read() -> None:
    schema = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}
    assert isinstance(fitting(schema, b"", "word")["n"], int)
