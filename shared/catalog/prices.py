"""Prices that a catalog row gives itself, where the price data knows none."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from shared.domain.conversation import FORBID

MOST_SEARCHES: Final = 5
"""Web searches that one call may make: adapters pass it on where the provider takes a bound."""
Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, decimal_places=9)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """USD per million tokens, as strings such as "0.15"; without any, all is free."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID

    input: Usd = Decimal(0)
    cached: Usd | None = None
    """Of input read from a cache; as any input where absent, like the two kinds below."""
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    """As `cache_write` where absent."""
    output: Usd = Decimal(0)
    search: Usd = Decimal(0)
    """USD per thousand web searches."""
