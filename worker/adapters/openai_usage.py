"""Tokens and money as the OpenAI family bills them, in the names of both its wires."""

from collections.abc import Mapping
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from shared.domain.generation import Usage
from worker.adapters.counts import billable, if_sound, stated

MAX_COST_NANO: Final = 10**15
NANO_USD: Final = 10**9
TICKS_PER_NANO: Final = 10
"""xAI bills in ticks, of which a dollar has 10^10."""

MALFORMED: Final = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
"""What reading a reply raises that is not of its shape."""


@if_sound
def usage_from_wire(
    usage: Any, *, service_tier: Any = None, searches: int = 0, silent: bool = False
) -> Usage | None:
    """Tokens as billed; None where the server reports none, or what no bill can hold.

    `searches`: those that were counted in the answer. `silent`: nothing was put out.
    """
    if not usage:
        return None
    received = _details(usage, "prompt_tokens_details", "input_tokens_details")
    given = _details(usage, "completion_tokens_details", "output_tokens_details")
    input_tokens = _named(usage, "prompt_tokens", "input_tokens")
    output_tokens = 0 if silent else _named(usage, "completion_tokens", "output_tokens")
    reasoning_tokens = billable(given.get("reasoning_tokens"))
    # xAI leaves the reasoning out of the completion; only its total tells.
    if usage.get("total_tokens") == input_tokens + output_tokens + reasoning_tokens:
        output_tokens += reasoning_tokens
    return Usage(
        input_tokens=input_tokens,
        cached_tokens=billable(received.get("cached_tokens")),
        cache_write_tokens=billable(received.get("cache_write_tokens")),
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
        audio_input_tokens=billable(received.get("audio_tokens")),
        audio_output_tokens=billable(given.get("audio_tokens")),
        searches=searches,
        service_tier=service_tier if isinstance(service_tier, str) else None,
        cost_nano=_cost_nano(usage),
    )


def billed(body: Any) -> Usage | None:
    """What a reply or an event that is no answer says was billed, if it says so."""
    with suppress(*MALFORMED):
        told = body if body.get("usage") else body["response"]
        return usage_from_wire(told["usage"], service_tier=told.get("service_tier"))
    return None


def _named(usage: Mapping[str, Any], *names: str) -> int:
    """The count under the first of these names that is there. Raises LookupError without any."""
    for name in names:
        if name in usage:
            return stated(usage[name])
    raise LookupError(" or ".join(names))


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        if details := usage.get(name):
            return details  # type: ignore[no-any-return]
    return {}


def _cost_nano(usage: Mapping[str, Any]) -> int | None:
    """What the provider says it billed: ticks at xAI, dollars at Perplexity."""
    if (ticks := usage.get("cost_in_usd_ticks")) is not None:
        return _money(Decimal(int(ticks)) / TICKS_PER_NANO)
    cost = usage.get("cost")
    dollars = cost.get("total_cost") if isinstance(cost, Mapping) else None
    # The shortest writing of the float is what the server wrote: exact to well below a nano-USD.
    return None if dollars is None else _money(Decimal(str(dollars)) * NANO_USD)


def _money(nano: Decimal) -> int:
    whole = int(nano.to_integral_value(ROUND_HALF_UP))
    if not 0 <= whole <= MAX_COST_NANO:
        raise ValueError(f"a cost of {nano} nano-USD")
    return whole
