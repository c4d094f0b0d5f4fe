"""One set of moves: in code, in the drawing and in the database's trigger."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from shared.domain.attempt import ATTEMPT_MOVES, AttemptState
from shared.domain.job import BIRTH_STATES, FINAL_STATES, JOB_MOVES, JobState
from tests.house.source import modules, read

OUTSIDE: Final = "[*]"
ARROW: Final = re.compile(r"^\s*(\S+) --> (\S+)\s*$", re.MULTILINE)
DIAGRAM: Final = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
PAIR: Final = re.compile(r"\('(\w+)', '(\w+)'\)")
VERSIONS: Final = "shared/db/migrations/versions"

Pairs = set[tuple[str, str]]


class Kind(NamedTuple):
    """A thing that moves: its states, its moves, and where it is drawn and guarded."""

    moves: Mapping[StrEnum, frozenset[StrEnum]]
    states: type[StrEnum]
    births: frozenset[str]
    drawing: int
    constant: str
    table: str


KINDS: Final = {
    "job": Kind(
        moves=dict(JOB_MOVES.items()),
        states=JobState,
        births=frozenset(BIRTH_STATES),
        drawing=0,
        constant="JOB_MOVES",
        table="jobs",
    ),
    "attempt": Kind(
        moves=dict(ATTEMPT_MOVES.items()),
        states=AttemptState,
        births=frozenset({AttemptState.PLANNED}),
        drawing=1,
        constant="ATTEMPT_MOVES",
        table="attempts",
    ),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def in_code(kind: Kind) -> Pairs:
    """The table's moves as pairs of names."""
    return {(str(start), str(end)) for start, ends in kind.moves.items() for end in ends}


def drawn(kind: Kind) -> Pairs:
    """Every arrow of the kind's drawing."""
    return set(ARROW.findall(DIAGRAM.findall(read(Path("docs/job-states.md")))[kind.drawing]))


def guarded(kind: Kind, migration: str) -> tuple[Pairs, set[str]]:
    """The moves and the births that a migration's trigger lets pass."""
    moves = re.search(rf'^{kind.constant} = """(.*?)"""', migration, re.DOTALL | re.MULTILINE)
    births = re.search(rf'_guard\("{kind.table}", {kind.constant}, "(.*?)"\)', migration)
    assert moves
    assert births
    return set(PAIR.findall(moves[1])), set(re.findall(r"'(\w+)'", births[1]))


def latest_guard(kind: Kind) -> str:
    """The last migration that speaks of the kind's moves."""
    speaking = [text for text in map(read, modules(VERSIONS)) if f"\n{kind.constant} = " in text]
    return speaking[-1]


@each_kind
def test_the_table_of_moves_knows_every_state(kind: Kind) -> None:
    assert set(kind.moves) == set(kind.states)


@each_kind
def test_the_drawing_shows_the_moves_of_the_table(kind: Kind) -> None:
    inner = {arrow for arrow in drawn(kind) if OUTSIDE not in arrow}
    assert inner == in_code(kind)


@each_kind
def test_the_drawing_shows_where_each_life_begins_and_ends(kind: Kind) -> None:
    arrows = drawn(kind)
    assert {end for start, end in arrows if start == OUTSIDE} == kind.births
    ends = {start for start, end in arrows if end == OUTSIDE}
    assert ends >= {str(state) for state, moves in kind.moves.items() if not moves}


def test_a_final_job_stays_final() -> None:
    assert {state for state, moves in JOB_MOVES.items() if not moves} == FINAL_STATES


@each_kind
def test_the_trigger_lets_pass_the_moves_of_the_table(kind: Kind) -> None:
    moves, births = guarded(kind, latest_guard(kind))
    assert moves == in_code(kind)
    assert births == kind.births


@each_kind
def test_a_move_that_the_trigger_forgot_is_seen(kind: Kind) -> None:
    forgetful = PAIR.sub("", latest_guard(kind), count=20)
    assert guarded(kind, forgetful)[0] != in_code(kind)
