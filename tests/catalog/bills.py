"""Bills by hand, in exact decimals, and usages of every kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from genai_prices.data_snapshot import get_snapshot
from hypothesis import strategies as st

from shared.catalog.deployments import Deployment, Model, Provider
from shared.catalog.limits import Limits
from shared.catalog.prices import MOST_SEARCHES, Prices
from shared.domain.generation import Usage

NOVEMBER: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
PROVIDERS: Final = ("openai", "anthropic", "google", "x-ai", "perplexity")
LISTED: Final = tuple(
    (provider.id, model.id)
    for provider in get_snapshot().providers
    if provider.id in PROVIDERS
    for model in provider.models
    if model.get_prices(NOVEMBER).input_mtok is not None and ":" not in model.id
)
TIERED: Final = tuple(
    pair for pair in LISTED if pair[1] in ("gpt-6.1-sol", "claude-haiku-5-5", "grok-4.7")
)
BORDERS: Final = (100_000, 128_000, 200_000, 272_000)
LONGEST: Final = 1_100_000


def deployment(provider: str, model: str, prices: Prices | None = None) -> Deployment:
    """A model at a provider, priced by that provider's list or by these prices."""
    return Deployment(
        id=f"{provider}/{model}",
        provider=Provider(id=provider, adapter="openai"),
        model=Model(id=model, context_window=10**6, max_output=10**5),
        limits=Limits(),
        upstream=model,
        price_provider=provider,
        prices=prices,
    )


@dataclass(frozen=True, kw_only=True)
class Bill:
    """One call: how many units of each kind, at which price in USD per million of them."""

    provider: str
    model: str
    usage: Usage
    lines: Mapping[str, tuple[int, str]]
    per_thousand: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    at: datetime = NOVEMBER

    @property
    def called(self) -> Deployment:
        """Who is called."""
        return deployment(self.provider, self.model)

    @property
    def nano(self) -> int:
        """The sum, in nano-USD, halves rounded up."""
        usd = sum((n * Decimal(price) / 10**6 for n, price in self.lines.values()), Decimal(0))
        usd += sum((n * Decimal(price) / 10**3 for n, price in self.per_thousand.values()), 0)
        return int((usd * 10**9).quantize(Decimal(1), rounding=ROUND_HALF_UP))


CACHED: Final = Usage(input_tokens=1_037, cached_tokens=411, output_tokens=97)
WRITTEN: Final = Usage(
    input_tokens=50_000,
    cached_tokens=20_003,
    cache_write_tokens=9_001,
    cache_write_1h_tokens=4_007,
    output_tokens=333,
)
REASONED: Final = Usage(input_tokens=77, output_tokens=12_345, reasoning_tokens=12_001)
IMAGE: Final = Usage(input_tokens=2_489 + 19, output_tokens=41)
"""An image is billed as the input tokens that the provider makes of it."""
BATCH: Final = Usage(
    input_tokens=9_999, cached_tokens=1_001, output_tokens=501, service_tier="batch"
)
LONG: Final = Usage(input_tokens=300_001, cached_tokens=100_001, output_tokens=2_003)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any usage, often near the border of a price tier."""
    near = st.sampled_from(BORDERS).flatmap(lambda border: st.integers(border - 2, border + 2))
    rest = input_tokens = draw(st.integers(0, LONGEST) | near | st.integers(0, 300))
    kinds: dict[str, Any] = {}
    for kind in ("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"):
        kinds[kind] = draw(st.just(0) | st.integers(0, rest))
        rest -= kinds[kind]
    output_tokens = draw(st.integers(0, 130_000) | st.integers(0, 3))
    reasoning_tokens = draw(st.just(0) | st.integers(0, output_tokens))
    return Usage(
        input_tokens=input_tokens,
        **kinds,
        audio_input_tokens=draw(st.just(0) | st.integers(0, rest)),
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
        audio_output_tokens=draw(st.just(0) | st.integers(0, output_tokens - reasoning_tokens)),
        searches=draw(st.integers(0, MOST_SEARCHES)),
    )
