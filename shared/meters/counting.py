"""How each provider counts tokens: what a call needs before it goes, and what it used after."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from shared.catalog.limits import Counting
from shared.domain.generation import Usage

Amounts = Mapping[str, int]
"""By the name of the gauge; a gauge that a rule does not name counts requests."""
LEAST_OUTPUT: Final = 0.01
MOST_OUTPUT: Final = 1.5


@dataclass(frozen=True, slots=True)
class Want:
    """An attempt that asks to go."""

    attempt_id: str
    input_tokens: int
    max_tokens: int

    @property
    def tokens(self) -> int:
        """The most that the call can take."""
        return self.input_tokens + self.max_tokens


@dataclass(frozen=True, slots=True)
class Learned:
    """What usage taught about estimates; as long as nobody knows, they are taken as they are."""

    input: float = 1.0
    """Reported input to estimated input, leaning to what is too much."""
    output: float = 1.0
    """Output to the most that it might have been."""


def _input(want: Want, learned: Learned) -> int:
    return ceil(want.input_tokens * learned.input)


def _output(want: Want, learned: Learned) -> int:
    """What will probably be written: usage corrects it."""
    factor = min(max(learned.output, LEAST_OUTPUT), MOST_OUTPUT)
    return ceil(want.max_tokens * factor)


def _reserved(want: Want, learned: Learned) -> Amounts:
    counted = _input(want, learned)
    return {
        "tokens": counted + want.max_tokens,
        "input_tokens": counted,
        "output_tokens": want.max_tokens,
    }


def _metered(want: Want, learned: Learned) -> Amounts:
    counted, written = _input(want, learned), _output(want, learned)
    return {"tokens": counted + written, "input_tokens": counted, "output_tokens": written}


def _by_input(want: Want, learned: Learned) -> Amounts:
    counted = _input(want, learned)
    return {"tokens": counted, "input_tokens": counted, "output_tokens": _output(want, learned)}


def _uncached(usage: Usage) -> int:
    """Reads of a cache are free of the limit, writes are not."""
    return max(usage.input_tokens - usage.cached_tokens, 0)


def _used_of_metered(usage: Usage) -> Amounts:
    return {
        "tokens": _uncached(usage) + usage.output_tokens,
        "input_tokens": _uncached(usage),
        "output_tokens": usage.output_tokens,
    }


def _used_by_input(usage: Usage) -> Amounts:
    return {
        "tokens": usage.input_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }


def _all_input(usage: Usage) -> int:
    return usage.input_tokens


def _nothing_comes_back(_: Usage) -> Amounts:
    return {}


@dataclass(frozen=True, slots=True)
class Rule:
    """One way of counting."""

    needs: Callable[[Want, Learned], Amounts]
    """What is taken when the call goes."""
    used: Callable[[Usage], Amounts]
    """What it turned out to be; what is not named stays as it was taken."""
    counted_input: Callable[[Usage], int]
    """What the estimate of input should have been."""


RULES: Final[Mapping[Counting, Rule]] = {
    Counting.RESERVED: Rule(_reserved, _nothing_comes_back, _all_input),
    Counting.METERED: Rule(_metered, _used_of_metered, _uncached),
    Counting.INPUT: Rule(_by_input, _used_by_input, _all_input),
}
