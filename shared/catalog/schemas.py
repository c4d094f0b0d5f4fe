"""JSON Schemas of callers: valid, and cheap enough to hold an answer to."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs
import orjson

Place = tuple[int | str, ...]
Mistake = tuple[Place, str]

MOST_STEPS: Final = 10_000
"""Of one value: schemas that apply to it, each as often as it is named."""
LARGEST: Final = 2.0**63
"""Postgres keeps a larger number as an integer that JSON libraries refuse."""
SAME_VALUE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Keywords whose schemas apply to the very value at hand."""
DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")


@lru_cache(maxsize=256)
def mistake_in(text: bytes) -> Mistake | None:
    """Where a schema is none that we take, and why; a file's lines mostly share one.

    Nothing is fetched.
    """
    schema = orjson.loads(text)
    try:
        jsonschema_rs.validator_for(schema, offline=True)
    except jsonschema_rs.ValidationError as error:
        return tuple(error.instance_path), error.message[:300]
    except ValueError as error:
        return (), str(error)[:300]
    return _too_much(schema)


def _too_much(schema: Any) -> Mistake | None:
    """A few bytes of references may ask for more steps than there are atoms."""
    steps: dict[int, int] = {}
    for place, node in _nodes(schema, ()):
        if isinstance(node, float) and abs(node) >= LARGEST:
            return place, f"{node} is too large a number"
        if isinstance(node, dict) and (said := _wrong_with(schema, node, steps)):
            return place, said
    return None


def _wrong_with(schema: Any, node: dict[str, Any], steps: dict[int, int]) -> str | None:
    if any(name in node for name in DYNAMIC):
        return "dynamic references are not taken"
    try:
        too_many = _steps(schema, node, steps) > MOST_STEPS
    except RecursionError:
        return "it refers to itself without an end"
    except LookupError:
        return "a $ref must be # or #/… and lead somewhere"
    return "it refers to schemas too many times to be checked" if too_many else None


def _steps(schema: Any, node: Any, known: dict[int, int]) -> int:
    """How many schemas apply to a value at this one. Raises RecursionError, LookupError."""
    if not isinstance(node, dict):
        return 1
    found = known.get(id(node))
    if found == 0:
        raise RecursionError
    if found is None:
        known[id(node)] = 0
        found = 1 + sum(_steps(schema, each, known) for each in _on_the_same_value(schema, node))
        known[id(node)] = found
    return found


def _on_the_same_value(schema: Any, node: dict[str, Any]) -> Iterator[Any]:
    for name in SAME_VALUE:
        each = node.get(name)
        if isinstance(each, list):
            yield from each
        elif name == "dependentSchemas" and isinstance(each, dict):
            yield from each.values()
        elif each is not None:
            yield each
    if isinstance(reference := node.get("$ref"), str):
        yield _referred(schema, reference)


def _referred(schema: Any, reference: str) -> Any:
    """Raises LookupError for what is not in this schema."""
    head, *steps = reference.split("/")
    if head != "#":
        raise LookupError(reference)
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~").replace("%25", "%")
        schema = schema[int(name)] if isinstance(schema, list) else schema[name]
    return schema


def _nodes(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    yield place, value
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _nodes(each, (*place, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _nodes(each, (*place, number))
