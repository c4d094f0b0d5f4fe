"""Decisions are short, numbered without gaps, and all in the list."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.house.source import papers, read

FOLDER: Final = Path("docs/decisions")
LINES: Final = 40
PARTS: Final = ("Status:", "## Context", "## Decision", "## Consequence")
DECISIONS: Final = [
    path for path in papers() if path.parent == FOLDER and path.name[:4].isdecimal()
]
SOUND: Final = "# 0001 Take it\n" + "\n".join(PARTS)


def unsound(number: int, text: str) -> Iterator[str]:
    """What a decision lacks to be one."""
    if not text.startswith(f"# {number:04} "):
        yield f"its title does not begin with {number:04}"
    if len(text.splitlines()) > LINES:
        yield f"it has more than {LINES} lines"
    for part in PARTS:
        if f"\n{part}" not in text:
            yield f"it has no {part!r}"


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_short_and_says_why_what_and_what_follows(path: Path) -> None:
    assert list(unsound(int(path.name[:4]), read(path))) == []


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_in_the_list(path: Path) -> None:
    assert f"({path.name})" in read(FOLDER / "README.md")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2, SOUND),
        (1, SOUND + "\n" * LINES),
        (1, SOUND.replace("## Context", "")),
        (1, SOUND.replace("## Consequence", "")),
    ],
)
def test_an_unsound_decision_is_found(number: int, text: str) -> None:
    assert not list(unsound(1, SOUND))
    assert list(unsound(number, text))
