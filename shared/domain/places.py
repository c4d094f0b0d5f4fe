"""Where in a JSON value a mistake is, told as people write it, and which mistake to tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

OF_ANOTHER_KIND: Final = "literal_error"
MISSING: Final = "missing"
OPENING: Final = "Input should be "
Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake; `branch` is the form of a union that the value was tried as."""

    kind: str
    path: Location
    """Steps into the value; nothing that is only the checker's word."""
    branch: Location
    union: Location
    """The place of the outermost union on the way, or the path itself."""
    message: str


def first_mistake(value: Any, errors: Sequence[Mapping[str, Any]]) -> tuple[str, str, int]:
    """The path and the sentence of the mistake to tell first, and how many others there are.

    `errors` are pydantic's of `value`. Where a union was tried in each of its forms, the form
    that the value seems to mean is the one that is told, and in it the deepest mistake.
    """
    mistakes = [_mistake(value, error) for error in errors]
    places = list(dict.fromkeys(mistake.union for mistake in mistakes))
    here = _meant([mistake for mistake in mistakes if mistake.union == places[0]])
    deepest = max(here, key=lambda mistake: len(mistake.path))
    first, *others = dict.fromkeys(each.message for each in here if each.path == deepest.path)
    said = [first, *(other.removeprefix(OPENING) for other in others)]
    return path_of(deepest.path), " or ".join(said), len(places) - 1


def path_of(location: Location) -> str:
    """A path as people write it: `request.messages[0].content`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _mistake(value: Any, error: Mapping[str, Any]) -> Mistake:
    """A location without the names of a union's forms, which lead nowhere in the value."""
    location: Location = error["loc"]
    path: list[int | str] = []
    branch: Location = ()
    union: Location | None = None
    for depth, part in enumerate(location):
        last = depth == len(location) - 1
        if _leads_on(value, part):
            path.append(part)
            value = value[part]
        elif last and error["type"] == MISSING and isinstance(value, Mapping):
            path.append(part)
        else:
            branch = location[: depth + 1]
            union = tuple(path) if union is None else union
    steps = tuple(path)
    return Mistake(error["type"], steps, branch, steps if union is None else union, error["msg"])


def _leads_on(value: Any, part: int | str) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _meant(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Those of the form that the value's `type` names; all say what types there are, if none."""
    other = {m.branch for m in mistakes if m.kind == OF_ANOTHER_KIND and m.path[-1:] == ("type",)}
    if meant := [mistake for mistake in mistakes if not _within(mistake.branch, other)]:
        deepest = max(len(mistake.path) for mistake in meant)
        # A plain text may stand for parts: it says nothing of the parts that came instead.
        if not other or deepest >= _least_depth(mistakes, other):
            return meant
    return [mistake for mistake in mistakes if mistake.kind == OF_ANOTHER_KIND]


def _within(branch: Location, others: set[Location]) -> bool:
    return any(branch[: len(other)] == other for other in others)


def _least_depth(mistakes: Sequence[Mistake], branches: set[Location]) -> int:
    return min(len(mistake.path) for mistake in mistakes if mistake.branch in branches)
