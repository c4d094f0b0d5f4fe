"""A bill by hand: what a price page asks for a call, in exact decimals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from shared.catalog.deployments import Deployment, Limits, Model, Provider
from shared.catalog.prices import Prices
from shared.domain.generation import Usage

NOVEMBER: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)


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
