"""Money is an integer of nano-USD."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

NANO_PER_USD: Final = 1_000_000_000


def to_nano(usd: Decimal) -> int:
    """Whole nano-USD of an exact amount in USD, halves rounded up."""
    return int((usd * NANO_PER_USD).to_integral_value(rounding=ROUND_HALF_UP))


def show_usd(nano: int) -> str:
    """A person's form of nano-USD, exact, at least two decimals: `$0.00042`."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO_PER_USD)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole}.{decimals}"
