"""JSON that fits a JSON Schema, by a small generator."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

DEEPEST: Final = 8
"""A schema that refers to itself ends here, if it may."""
FORMATS: Final = {
    "date": "2026-11-21",
    "date-time": "2026-11-21T10:00:00Z",
    "time": "10:00:00Z",
    "email": "tea@example.com",
    "uri": "https://example.com/tea",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}
LARGEST: Final = 100
"""The span of numbers without bounds."""


@dataclass(frozen=True, slots=True)
class _Maker:
    root: Mapping[str, Any]
    dice: random.Random
    word: str

    def value(self, schema: Any, depth: int = 0) -> Any:
        """A value of the schema; what the generator does not know is let through."""
        schema = self._plain(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.dice.choice(schema["enum"])
        make = MAKERS.get(_kind(schema))
        return None if make is None else make(self, schema, depth)

    def _plain(self, schema: Any, depth: int) -> Mapping[str, Any]:
        """The schema without references and choices."""
        for _ in range(DEEPEST):
            if not isinstance(schema, Mapping):
                return {}
            if "$ref" in schema:
                schema = self._target(str(schema["$ref"]))
            elif choices := schema.get("anyOf") or schema.get("oneOf"):
                schema = choices[-1 if depth >= DEEPEST else 0]
            elif parts := schema.get("allOf"):
                schema = {**schema, **{k: v for part in parts for k, v in part.items()}}
                del schema["allOf"]
            else:
                return schema
        return {}

    def _target(self, reference: str) -> Any:
        found: Any = self.root
        for name in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(name, {}) if name and isinstance(found, Mapping) else found
        return found


def fitting(schema: Mapping[str, Any], seed: bytes, word: str) -> Any:
    """A value of the schema, the same for the same seed; `word` is in its free texts."""
    return _Maker(schema, random.Random(seed), word).value(schema)  # noqa: S311 - no secret


def _kind(schema: Mapping[str, Any]) -> str:
    """The first type that is not null, in Gemini's capitals too."""
    kinds = schema.get("type")
    named = kinds if isinstance(kinds, list) else [kinds]
    present = [str(kind).lower() for kind in named if kind and str(kind).lower() != "null"]
    if present:
        return present[0]
    return "null" if kinds else "object" if "properties" in schema else "string"


def _object(maker: _Maker, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    names = required if depth >= DEEPEST else [*properties, *required]
    return {name: maker.value(properties.get(name, {}), depth + 1) for name in names}


def _array(maker: _Maker, schema: Mapping[str, Any], depth: int) -> list[Any]:
    fewest = int(schema.get("minItems", 0 if depth >= DEEPEST else 1))
    most = int(schema.get("maxItems", max(fewest, 1)))
    return [maker.value(schema.get("items", {}), depth + 1) for _ in range(min(fewest, most))]


def _string(maker: _Maker, schema: Mapping[str, Any], _: int) -> str:
    given = FORMATS.get(str(schema.get("format")))
    if given is not None:
        return given
    text = f"{maker.word} {maker.dice.randrange(LARGEST)}"
    text = text.ljust(int(schema.get("minLength", 0)), ".")
    return text[: int(schema.get("maxLength", len(text)))]


def _integer(maker: _Maker, schema: Mapping[str, Any], _: int) -> int:
    low = math.ceil(schema.get("minimum", math.floor(schema.get("exclusiveMinimum", -1)) + 1))
    most = math.ceil(schema.get("exclusiveMaximum", low + LARGEST)) - 1
    high = math.floor(schema.get("maximum", most))
    step = int(schema.get("multipleOf", 1)) or 1
    first = -(-low // step) * step
    return maker.dice.randrange(first, max(high, first) + 1, step)


def _number(maker: _Maker, schema: Mapping[str, Any], _: int) -> float:
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    high = schema.get("maximum", below)
    floor = 0.0 if high is None or high > 0 else high - LARGEST
    low = schema.get("minimum", floor if above is None else above)
    high = low + LARGEST if high is None else high
    return float(low + (high - low) * maker.dice.choice((0.25, 0.5, 0.75)))


def _boolean(maker: _Maker, _: Mapping[str, Any], __: int) -> bool:
    return maker.dice.random() < 0.5


MAKERS: Final[dict[str, Callable[[_Maker, Mapping[str, Any], int], Any]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}
