"""Counts as a provider bills them."""

from typing import Any, Final

MOST: Final = 10**9
"""What is above any model's reach is a fault of the server, and its cost fits no column."""


def billable(count: Any) -> int:
    """A count of tokens or searches, 0 for none. Raises ValueError for what no bill can hold."""
    number = int(count or 0)
    if not 0 <= number <= MOST:
        message = f"{number} is no count to be billed"
        raise ValueError(message)
    return number
