"""The domain's words: complete tables, sortable ids, exact money."""

import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.attempt import ATTEMPT_MOVES, REPORTED_ATTEMPTS, AttemptState
from shared.domain.clock import SystemClock
from shared.domain.errors import PromptmillError
from shared.domain.failure import ATTEMPT_ENDS, VERDICTS, FailureKind, Verdict
from shared.domain.ids import IdKind, new_id
from shared.domain.job import Lane
from shared.domain.money import NANO_PER_USD, show_usd, to_nano

MAKE_IDS = """
from shared.domain.ids import IdKind, new_id
print("\\n".join(new_id(IdKind.JOB) for _ in range(5000)))
"""


def test_every_failure_has_a_verdict_and_an_end() -> None:
    assert set(VERDICTS) == set(ATTEMPT_ENDS) == set(FailureKind)


def test_every_end_is_one_that_a_sent_attempt_may_come_to() -> None:
    assert set(ATTEMPT_ENDS.values()) <= ATTEMPT_MOVES[AttemptState.SENT] - {AttemptState.ANSWERED}
    assert REPORTED_ATTEMPTS.issubset(ATTEMPT_MOVES[AttemptState.SENT])


def test_what_may_have_been_billed_is_never_repeated_for_nothing() -> None:
    """An attempt of unknown end spends a try, unless we broke it off ourselves."""
    unknown = {kind for kind, end in ATTEMPT_ENDS.items() if end is AttemptState.UNKNOWN}
    waiting = {kind for kind in unknown if VERDICTS[kind] is Verdict.WAIT}
    assert waiting == {FailureKind.INTERRUPTED}


@pytest.mark.parametrize("kind", IdKind)
def test_an_id_has_its_prefix_and_only_plain_characters(kind: IdKind) -> None:
    prefix, _, rest = new_id(kind).partition("_")
    assert prefix == kind
    assert len(rest) == 26
    assert set(rest) <= set("0123456789abcdefghijklmnopqrstuv")


def test_ids_of_one_process_sort_as_they_were_made() -> None:
    ids = [new_id(IdKind.JOB) for _ in range(50_000)]
    assert ids == sorted(set(ids))


def test_ids_of_many_processes_are_unlike_and_sort_by_time() -> None:
    before = new_id(IdKind.JOB)
    makers = [
        subprocess.Popen([sys.executable, "-c", MAKE_IDS], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    made = [line for maker in makers for line in maker.communicate(timeout=30)[0].split()]
    assert len(set(made)) == 15_000
    assert before < min(made)
    assert max(made) < new_id(IdKind.JOB)


@given(nano=st.integers(-(2**63), 2**63 - 1))
@example(nano=0)
@example(nano=1)
@example(nano=-NANO_PER_USD)
def test_money_is_shown_exactly_with_at_least_its_cents(nano: int) -> None:
    shown = show_usd(nano)
    sign, _, number = shown.partition("$")
    assert sign == ("-" if nano < 0 else "")
    assert len(number.partition(".")[2]) >= 2
    assert set(number) <= set("0123456789.")
    assert Decimal(f"{sign}{number}") * NANO_PER_USD == nano


@pytest.mark.parametrize(
    ("nano", "shown"),
    [(0, "$0.00"), (420_000, "$0.00042"), (1_500_000_000, "$1.50"), (-1, "-$0.000000001")],
)
def test_money_is_shown_as_people_write_it(nano: int, shown: str) -> None:
    assert show_usd(nano) == shown


@given(nano=st.integers(0, 2**63 - 1))
def test_an_exact_amount_keeps_every_nano(nano: int) -> None:
    assert to_nano(Decimal(nano) / NANO_PER_USD) == nano


@pytest.mark.parametrize(
    ("usd", "nano"), [("0.0000000004", 0), ("0.0000000005", 1), ("0.0000000015", 2), ("1", 10**9)]
)
def test_halves_of_a_nano_are_rounded_up(usd: str, nano: int) -> None:
    assert to_nano(Decimal(usd)) == nano


@pytest.mark.parametrize("lane", Lane)
def test_a_lane_is_found_by_its_public_name(lane: Lane) -> None:
    assert Lane.of(lane.label) is lane


def test_an_unknown_lane_is_no_lane() -> None:
    with pytest.raises(KeyError):
        Lane.of("express")


def test_the_clock_is_aware_and_in_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() is not None
    assert not now.utcoffset()


def test_every_error_has_a_code_of_its_own() -> None:
    def below(kind: type[PromptmillError]) -> list[type[PromptmillError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    # A kind that sets no code of its own speaks with its parent's on purpose.
    codes = [kind.code for kind in below(PromptmillError) if "code" in vars(kind)]
    assert len(codes) > 10
    assert len(codes) == len(set(codes))
