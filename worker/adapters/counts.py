"""Numbers as a provider gives them: counts that it bills, vectors that are to be used."""

from collections.abc import Callable
from functools import wraps
from math import isfinite
from typing import Any, Final, ParamSpec

import structlog

from shared.domain.generation import Usage

log = structlog.get_logger(__name__)

Asked = ParamSpec("Asked")

ODD: Final = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
"""What reading a usage raises that is not of its shape."""
MOST: Final = 10**9
"""What is above any model's reach is a fault of the server, and its cost fits no column."""


def billable(count: Any) -> int:
    """A count of tokens or searches, 0 for none. Raises ValueError for what no bill can hold."""
    number = 0 if count is None else count
    if isinstance(number, bool) or not isinstance(number, int | float) or number % 1:
        message = f"{number!r:.40} is no count"
        raise ValueError(message)
    if not 0 <= number <= MOST:
        message = f"{number} is no count to be billed"
        raise ValueError(message)
    return int(number)


def stated(count: Any) -> int:
    """The same of a count that must be there. Raises ValueError without it."""
    if count is None:
        raise ValueError("a count is missing")
    return billable(count)


def if_sound(read: Callable[Asked, Usage | None]) -> Callable[Asked, Usage | None]:
    """Reads a usage; None of one that is not as it should be: the answer beside it is good."""

    @wraps(read)
    def reading(*args: Asked.args, **kwargs: Asked.kwargs) -> Usage | None:
        try:
            return read(*args, **kwargs)
        except ODD as error:
            log.warning("odd_usage", error=f"{type(error).__name__}: {error}"[:200])
            return None

    return reading


def finite(vector: tuple[float, ...]) -> tuple[float, ...]:
    """The vector. Raises ValueError for one that is empty or holds what is no number."""
    # What is no number leaves no sum; to look at each would cost as much as to unpack it.
    if not vector or not isfinite(sum(vector)):
        raise ValueError("a vector is empty or holds what is no number")
    return vector
