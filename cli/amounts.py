"""An amount of USD as the command line says it: exact, never a float."""

from decimal import Decimal, InvalidOperation
from typing import Final

import typer

SMALLEST_PLACES: Final = 9
"""Nano-USD."""


def read_usd(text: str) -> Decimal:
    """The amount, for a parameter's `parser`. Raises BadParameter."""
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or amount < 0 or exponent < -SMALLEST_PLACES:
        message = f"{text!r}: say USD like 25 or 0.50, with at most {SMALLEST_PLACES} decimals"
        raise typer.BadParameter(message)
    return amount
