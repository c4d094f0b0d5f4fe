"""Prices: exact integers that equal the price data's own sums, and a most that holds."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import pytest
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, TimeOfDateConstraint
from hypothesis import example, given
from hypothesis import strategies as st

from shared.catalog.deployments import Deployment
from shared.catalog.families import family_of
from shared.catalog.load import load_catalog
from shared.catalog.prices import Prices
from shared.catalog.pricing import CONTEXTS, SLOT_SECONDS, price_of, worst_case
from shared.catalog.rate_card import RATE_UNITS, listed, rate_card
from shared.domain.clock import SystemClock
from shared.domain.errors import ConfigurationError
from shared.domain.generation import Usage
from shared.domain.money import to_nano
from simulator.prices import model_prices
from tests.catalog.bills import LISTED, TIERED, deployment, usages

NOW: Final = SystemClock().now()
DATED: Final = ("google", "gemini-3.8-flash")
DOUBLED_AT: Final = datetime(2027, 1, 1, tzinfo=UTC)
CATALOG: Final = load_catalog()
LIVE: Final = [each for each in CATALOG.deployments() if not each.provider.rehearsal]


def library_price(provider: str, model: str, usage: Usage, at: datetime) -> Decimal:
    """The price data's own sum, in USD: 85 µs a call."""
    tier = usage.service_tier
    context = CONTEXTS.get(tier, {"service_tier": tier}) if tier else None
    priced = PricedUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        # A write for an hour is a write, for the library.
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.audio_input_tokens,
        cache_audio_read_tokens=0,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        output_audio_tokens=usage.audio_output_tokens,
        web_searches=usage.searches,
    )
    found = calc_price(
        priced, model, provider_id=provider, genai_request_timestamp=at, price_context=context
    )
    return Decimal(found.total_price)


@given(
    pair=st.sampled_from(LISTED) | st.sampled_from(TIERED),
    usage=usages(),
    tier=st.sampled_from([None, None, "default", "batch", "flex", "priority", "fast"]),
    days=st.integers(-100, 400),
)
@example(pair=TIERED[0], usage=Usage(), tier=None, days=0)
def test_a_cost_is_the_price_datas_to_the_last_nano(
    pair: tuple[str, str], usage: Usage, tier: str | None, days: int
) -> None:
    at, usage = NOW - timedelta(days=days), replace(usage, service_tier=tier)
    cost = price_of(deployment(*pair), usage, at).cost_nano
    if family_of(pair[1]).one_search:
        usage = replace(usage, searches=min(usage.searches, 1))
    assert cost == to_nano(library_price(*pair, usage, at))


def test_listed_prices_change_at_whole_and_half_hours_only() -> None:
    times = [
        time.hour * 3600 + time.minute * 60 + time.second
        for constraint in _constraints()
        if isinstance(constraint, TimeOfDateConstraint)
        for time in (constraint.start_time, constraint.end_time)
    ]
    assert times
    assert all(time % SLOT_SECONDS == 0 for time in times)


def test_the_time_counts_in_utc_and_not_where_the_caller_lives() -> None:
    zone = timezone(timedelta(hours=5, minutes=45))
    called, usage = deployment(*DATED), Usage(input_tokens=10, output_tokens=10)
    for at in (DOUBLED_AT, DOUBLED_AT - timedelta(seconds=1)):
        assert price_of(called, usage, at.astimezone(zone)) == price_of(called, usage, at)


def test_a_cost_by_hand_says_by_which_price() -> None:
    usage = Usage(input_tokens=1000, cached_tokens=400, output_tokens=10, reasoning_tokens=9)
    price = price_of(deployment("openai", "gpt-4.1-mini"), usage, NOW)
    assert price.cost_nano == 600 * 400 + 400 * 100 + 10 * 1600
    assert price.source["version"].startswith("genai-prices/")
    assert (price.source["provider"], price.source["model"]) == ("openai", "gpt-4.1-mini")
    assert price.source["price"].startswith("input 0.4, cached 0.1, output 1.6, search 10; USD")


def test_the_source_tells_tiers_of_length_and_of_service() -> None:
    usage = Usage(input_tokens=1, service_tier="FLEX")
    source = price_of(deployment("openai", "gpt-6.1-sol"), usage, NOW).source
    assert source["service_tier"] == "flex"
    assert source["price"].startswith("input 1 (above 272000: 2), cached 0.05 (above 272000: 0.1)")


def test_halves_of_a_nano_go_up_as_everywhere() -> None:
    card = rate_card(listed(Prices(input=Decimal("0.0005"))), {})
    assert card.base.input * 2 == RATE_UNITS
    for tokens in range(8):
        exact = Decimal(tokens) / 2 / 10**9
        assert card.base.cost_nano(Usage(input_tokens=tokens)) == to_nano(exact)


def test_what_the_provider_says_it_billed_wins_and_both_are_kept() -> None:
    usage = Usage(input_tokens=100, output_tokens=10, cost_nano=123_456)
    price = price_of(deployment("x-ai", "grok-4.7"), usage, NOW)
    assert price.cost_nano == 123_456
    assert price.source["computed_nano"] == 100 * 2_000 + 10 * 6_000
    unlisted = price_of(deployment("perplexity", "third-party/model"), usage, NOW)
    assert (unlisted.cost_nano, unlisted.source["version"]) == (123_456, "provider")


def test_prices_of_the_catalogs_row_win_and_may_be_nothing() -> None:
    usage = Usage(
        input_tokens=1_000,
        cached_tokens=100,
        cache_write_tokens=10,
        cache_write_1h_tokens=20,
        output_tokens=7,
        searches=3,
    )
    prices = Prices(input=Decimal(1), cached=Decimal("0.1"), output=Decimal(5), search=Decimal(10))
    price = price_of(deployment("openai", "gpt-4o", prices), usage, NOW)
    assert price.cost_nano == 900 * 1_000 + 100 * 100 + 7 * 5_000 + 3 * 10_000_000
    assert price.source["version"] == "catalog"
    free = deployment("ollama", "llama-9000", Prices())
    assert price_of(free, usage, NOW).cost_nano == 0
    assert price_of(free, usage, NOW).source["price"] == "free"
    assert worst_case(free, input_tokens=10**6, max_tokens=10**5, searches=5, at=NOW) == 0


def test_a_model_without_a_price_is_told_the_way_out() -> None:
    for ask in (
        lambda called: price_of(called, Usage(), NOW),
        lambda called: worst_case(called, input_tokens=1, max_tokens=1, at=NOW),
    ):
        with pytest.raises(ConfigurationError, match=r"'llama-9000'.*price_model or its prices"):
            ask(deployment("openai", "llama-9000"))
        with pytest.raises(ConfigurationError, match="no price of 'nobody'"):
            ask(deployment("nobody", "llama-9000"))


@pytest.mark.parametrize(
    ("pair", "usage", "nano"),
    [
        (("openai", "gpt-4.1-mini"), Usage(input_tokens=10, cached_tokens=12), 12 * 100),
        (
            ("google", "gemini-2.5-flash"),
            Usage(input_tokens=10, cached_tokens=8, audio_input_tokens=9),
            8 * 30 + 2 * 1_000,
        ),
        (
            ("perplexity", "sonar-deep-research"),
            Usage(output_tokens=10, reasoning_tokens=12),
            10 * 3_000,
        ),
        (
            ("openai", "gpt-audio"),
            Usage(output_tokens=10, reasoning_tokens=9, audio_output_tokens=9),
            9 * 64_000 + 10_000,
        ),
    ],
)
def test_a_usage_that_does_not_add_up_is_billed_within_its_totals(
    pair: tuple[str, str], usage: Usage, nano: int
) -> None:
    assert price_of(deployment(*pair), usage, NOW).cost_nano == nano


@pytest.mark.parametrize("called", LIVE, ids=lambda called: called.id)
def test_the_catalog_calls_nobody_whose_price_it_does_not_know(called: Deployment) -> None:
    longest = called.model.context_window
    assert worst_case(called, input_tokens=longest, max_tokens=1, at=NOW) >= 0
    rehearsed = CATALOG.plan(f"rehearsal:{called.model.id}")
    usage = Usage(input_tokens=1_000, output_tokens=100)
    if rehearsed and called.provider.id == called.model.provider:
        assert price_of(rehearsed[0], usage, NOW) == price_of(called, usage, NOW)


@given(given=st.integers(0, 200_000), cached=st.integers(0, 200_000), out=st.integers(0, 10**5))
def test_the_simulator_bills_what_the_catalog_says(given: int, cached: int, out: int) -> None:
    cached = min(given, cached)
    usage = Usage(input_tokens=given, cached_tokens=cached, output_tokens=out)
    simulated = model_prices([])
    billed = {
        name: simulated[name].cost_nano(given, cached, out)
        for name in CATALOG.models
        if name in simulated and CATALOG.models[name].provider == "openai"
    }
    assert billed
    for name, cost in billed.items():
        assert cost == price_of(CATALOG.find(f"openai/{name}"), usage, NOW).cost_nano


def _constraints() -> Iterator[Any]:
    for provider in get_snapshot().providers:
        for model in provider.models:
            dated = [each for each in _listed(model.prices) if isinstance(each, ConditionalPrice)]
            for each in (*dated, *(model.price_variants or ())):
                yield each.constraint


def _listed(prices: Any) -> list[Any]:
    return prices if isinstance(prices, list) else [prices]
