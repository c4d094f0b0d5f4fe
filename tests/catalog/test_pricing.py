"""Prices: exact integers that equal the library's sums, whatever the usage."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.catalog.deployments import Model, load_catalog
from shared.catalog.pricing import RateCard, library_price, price_of, worst_case
from shared.domain.clock import SystemClock
from shared.domain.errors import ConfigurationError
from shared.domain.generation import Usage
from shared.domain.money import to_nano
from simulator.prices import model_prices

CATALOG: Final = load_catalog()
SIMULATED: Final = model_prices([])
NOW: Final = SystemClock().now()
FIRST_TIER: Final = 272_000
LONG: Final = 1_100_000


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any usage, often near the border of a price tier."""
    near = st.integers(FIRST_TIER - 2, FIRST_TIER + 2)
    input_tokens = draw(st.integers(0, LONG) | near | st.integers(0, 300))
    return Usage(
        input_tokens=input_tokens,
        cached_tokens=draw(st.integers(0, input_tokens)),
        output_tokens=draw(st.integers(0, 130_000) | st.integers(0, 3)),
    )


@pytest.mark.parametrize("model", CATALOG.models.values(), ids=lambda model: model.id)
@given(usage=usages(), days=st.integers(0, 400))
@example(usage=Usage(), days=0)
@example(usage=Usage(input_tokens=1), days=0)
@example(usage=Usage(input_tokens=LONG, cached_tokens=LONG, output_tokens=1), days=0)
def test_a_cost_is_the_librarys_to_the_last_nano(model: Model, usage: Usage, days: int) -> None:
    name = model.priced_as
    at = NOW - timedelta(days=days)
    assert price_of(name, usage, at).cost_nano == to_nano(library_price(name, usage, at))


def test_some_catalog_models_have_tiers_and_they_cost_more() -> None:
    tiered = []
    for model in CATALOG.models.values():
        below, above = (
            price_of(model.priced_as, Usage(input_tokens=tokens), NOW).cost_nano / tokens
            for tokens in (200_000, 1_000_000)
        )
        assert above >= below
        tiered += [model.id] if above > below else []
    assert tiered


def test_a_cost_by_hand() -> None:
    usage = Usage(input_tokens=1000, cached_tokens=400, output_tokens=10, reasoning_tokens=9)
    price = price_of("gpt-4.1-mini", usage, NOW)
    assert price.cost_nano == 600 * 400 + 400 * 100 + 10 * 1600
    assert price.source["model"] == "gpt-4.1-mini"
    assert price.source["version"].startswith("genai-prices/")


def test_halves_of_a_nano_go_up_as_everywhere() -> None:
    card = RateCard("m", {}, input_rate=500_000, cached_rate=0, output_rate=0, plain_until=None)
    for tokens in range(8):
        exact = Decimal(tokens) / 2 / 10**9
        assert card.cost_nano(Usage(input_tokens=tokens)) == to_nano(exact)


@given(usage=usages(), model=st.sampled_from(list(CATALOG.models.values())))
def test_no_call_costs_more_than_its_worst_case(usage: Usage, model: Model) -> None:
    name = model.priced_as
    most = worst_case(name, input_tokens=usage.input_tokens, max_tokens=usage.output_tokens, at=NOW)
    assert price_of(name, usage, NOW).cost_nano <= most


def test_the_hour_counts_in_utc_and_not_where_the_caller_lives() -> None:
    here = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    usage = Usage(input_tokens=10, output_tokens=10)
    assert price_of("gpt-4o", usage, here) == price_of("gpt-4o", usage, NOW.astimezone(UTC))


def test_a_model_without_a_price_is_told_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match=r"'llama-9000'.*price_model"):
        price_of("llama-9000", Usage(), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("model", CATALOG.models.values(), ids=lambda model: model.id)
@given(given=st.integers(0, 200_000), cached=st.integers(0, 200_000), out=st.integers(0, 10**5))
def test_the_simulator_bills_what_the_catalog_says(
    model: Model, given: int, cached: int, out: int
) -> None:
    name = model.priced_as
    cached = min(given, cached)
    usage = Usage(input_tokens=given, cached_tokens=cached, output_tokens=out)
    billed = SIMULATED[name].cost_nano(given, cached, out)
    assert billed == price_of(name, usage, NOW).cost_nano
