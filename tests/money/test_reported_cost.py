"""What a provider says it billed wins; what we compute stays beside it and can be made again."""

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

from shared.catalog.prices import Prices
from shared.catalog.pricing import price_of, priced_again
from shared.catalog.rate_card import in_words, of_words, rate_card
from shared.domain.generation import Usage
from tests.catalog.bills import deployment

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CALLED = (("openai", "gpt-6.1-sol"), ("anthropic", "claude-sonnet-5-5"), ("x-ai", "grok-4.7"),
          ("google", "gemini-3.8-flash"), ("perplexity", "sonar-pro"))  # fmt: skip
USAGES = (
    Usage(input_tokens=300_000, cached_tokens=1_000, output_tokens=70, reasoning_tokens=7),
    Usage(input_tokens=900, cache_write_tokens=300, cache_write_1h_tokens=200, output_tokens=5),
    Usage(input_tokens=40, output_tokens=4, searches=3),
)


def test_every_listed_price_can_be_read_back_from_its_words() -> None:
    read = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            prices = model.get_prices(NOW)
            kept, again = rate_card(prices, {}), rate_card(of_words(in_words(prices)), {})
            assert (kept.base, kept.above) == (again.base, again.above), (provider.id, model.id)
            read += 1
    assert read > 1_000


def test_a_kind_that_costs_nothing_is_not_taken_for_one_that_costs_as_any() -> None:
    prices = ModelPrice(input_mtok=Decimal(2), cache_read_mtok=Decimal(0), output_mtok=Decimal(8))
    assert rate_card(of_words(in_words(prices)), {}).base.cached == 0


@pytest.mark.parametrize("words", ["", "input", "gold 5", "input 2 (under 3: 4)"])
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match="no price"):
        of_words(words)


@pytest.mark.parametrize(("called", "usage"), list(product(CALLED, USAGES)))
def test_a_call_can_be_priced_again_by_what_is_kept_with_it(
    called: tuple[str, str], usage: Usage
) -> None:
    price = price_of(deployment(*called), usage, NOW)
    assert priced_again(asdict(usage), price.source) == price.cost_nano > 0


def test_a_told_cost_wins_and_the_computed_one_can_be_made_again() -> None:
    usage = Usage(input_tokens=100, output_tokens=10, cost_nano=123_456)
    price = price_of(deployment("x-ai", "grok-4.7"), usage, NOW)
    assert price.cost_nano == 123_456
    computed = price.source["computed_nano"]
    assert priced_again(asdict(usage), price.source) == computed == 100 * 2_000 + 10 * 6_000


def test_what_only_the_provider_knows_cannot_be_priced_again() -> None:
    usage = Usage(input_tokens=100, output_tokens=10, cost_nano=5)
    price = price_of(deployment("perplexity", "third-party/model"), usage, NOW)
    assert priced_again(asdict(usage), price.source) is None


def test_prices_of_the_catalogs_own_row_are_kept_likewise() -> None:
    own = Prices(input=Decimal("0.05"), cached=Decimal(0), output=Decimal("0.0005"))
    usage = USAGES[0]
    price = price_of(deployment("ollama", "llama-9000", own), usage, NOW)
    assert priced_again(asdict(usage), price.source) == price.cost_nano > 0
