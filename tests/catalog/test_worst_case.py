"""The most that a call can cost: it holds whatever becomes of the call, and is no more."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from genai_prices import types
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.load import load_catalog
from shared.catalog.pricing import most_searches, price_of, worst_case
from shared.domain.clock import SystemClock
from shared.domain.generation import Usage
from tests.catalog.bills import LISTED, LONGEST, TIERED, deployment, usages

NOW: Final = SystemClock().now()
DATED: Final = ("google", "gemini-3.8-flash")
DOUBLED_AT: Final = datetime(2027, 1, 1, tzinfo=UTC)


@given(usage=usages(), pair=st.sampled_from(LISTED) | st.sampled_from(TIERED))
def test_no_call_costs_more_than_its_worst_case(usage: Usage, pair: tuple[str, str]) -> None:
    called = deployment(*pair)
    most = worst_case(
        called,
        input_tokens=usage.input_tokens,
        max_tokens=usage.output_tokens,
        searches=usage.searches,
        at=NOW,
    )
    assert price_of(called, usage, NOW).cost_nano <= most


@given(usage=usages(), longer=st.integers(0, LONGEST), pair=st.sampled_from(TIERED))
def test_a_shorter_call_costs_no_more_than_was_held(
    usage: Usage, longer: int, pair: tuple[str, str]
) -> None:
    called = deployment(*pair)
    most = worst_case(
        called,
        input_tokens=usage.input_tokens + longer,
        max_tokens=usage.output_tokens + longer,
        searches=usage.searches,
        at=NOW,
    )
    assert price_of(called, usage, NOW).cost_nano <= most


def test_the_worst_case_is_no_more_than_it_must_be() -> None:
    most = worst_case(deployment("openai", "gpt-4o"), input_tokens=7, max_tokens=3, at=NOW)
    assert most == 7 * 2_500 + 3 * 10_000
    written = worst_case(deployment("openai", "gpt-6.1-sol"), input_tokens=7, max_tokens=3, at=NOW)
    assert written == 7 * 2_500 + 3 * 10_000
    called = deployment("openai", "gpt-4o")
    searched = worst_case(called, input_tokens=7, max_tokens=3, searches=5, at=NOW)
    assert searched == most + 5 * 10_000_000


@pytest.mark.parametrize(
    ("name", "searches"),
    [
        ("gpt-4.1", 5), ("claude-opus-5-5", 5), ("sonar", 10),
        # Google's requests have no bound; up to 2.5 it bills the prompt that searched.
        ("gemini-3.8-flash", 20), ("gemini-2.5-pro", 1),
    ],
)  # fmt: skip
def test_searches_are_held_for_where_a_call_may_make_them(name: str, searches: int) -> None:
    [called, *_] = load_catalog().plan(name)
    always = name == "sonar"
    assert most_searches(called, asked=True) == searches
    assert most_searches(called, asked=False) == (searches if always else 0)
    counts: dict[str, Any] = {"input_tokens": 10, "max_tokens": 10, "at": NOW}
    held = worst_case(called, searches=searches, **counts)
    assert held > worst_case(called, **counts)
    usage = Usage(input_tokens=10, output_tokens=10, searches=20 if searches == 1 else searches)
    assert price_of(called, usage, NOW).cost_nano <= held


def test_a_price_that_rises_before_the_call_begins_is_held_already() -> None:
    called = deployment(*DATED)
    just_before = DOUBLED_AT - timedelta(minutes=20)
    most = worst_case(called, input_tokens=100, max_tokens=10, at=just_before)
    usage = Usage(input_tokens=100, output_tokens=10)
    assert price_of(called, usage, DOUBLED_AT).cost_nano == most
    assert price_of(called, usage, just_before).cost_nano == most // 2


@pytest.fixture
def cheaper_by_length() -> Iterator[None]:
    """A provider that asks less for a long input; none on the list does."""
    prices = types.TieredPrices(base=Decimal(9), tiers=[types.Tier(start=100, price=Decimal(1))])
    known = types.ModelInfo(
        id="m", match=types.ClauseEquals("m"), prices=types.ModelPrice(input_mtok=prices)
    )
    provider = types.Provider(id="bulk", name="Bulk", api_pattern="-", models=[known])
    set_custom_snapshot(DataSnapshot(providers=[provider], from_auto_update=False))
    yield
    set_custom_snapshot(None)


@pytest.mark.usefixtures("cheaper_by_length")
def test_an_input_that_turns_out_shorter_may_be_the_dearer_one() -> None:
    called = deployment("bulk", "m")
    most = worst_case(called, input_tokens=101, max_tokens=0, at=NOW)
    assert price_of(called, Usage(input_tokens=100), NOW).cost_nano == 100 * 9_000 <= most
    assert price_of(called, Usage(input_tokens=101), NOW).cost_nano == 101 * 1_000
