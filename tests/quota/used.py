"""How much of a rule's limits was used, window by window, as the provider's own ledger says."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.quota.rules import Rule


def shares(rule: Rule, lines: Sequence[Mapping[str, Any]]) -> list[float]:
    """The used part of the rule's binding limit in each whole window after the first.

    `lines`: the simulator's ledger.
    """
    own = sorted(
        (line for line in lines if line["provider"] == rule.account),
        key=lambda line: line["arrived"],
    )
    if not own:
        return []
    began, ended = own[0]["arrived"], own[-1]["arrived"]
    whole = int((ended - began) / rule.window)
    used = [_used(rule, own, began + n * rule.window) for n in range(1, whole)]
    return [max(parts) for parts in used]


def _used(rule: Rule, lines: Sequence[Mapping[str, Any]], begin: float) -> Iterator[float]:
    """The used part of each limit from that moment on."""

    def within(name: str) -> list[Mapping[str, Any]]:
        return [line for line in lines if begin <= line[name] < begin + rule.window]

    arrived = within("arrived")
    charged = sum(line["charge"] for line in arrived)
    ended = begin + rule.window
    in_flight = (min(line["at"], ended) - max(line["arrived"], begin) for line in lines)
    amounts = {
        "requests": len(arrived),
        "requests_per_second": len(arrived) / rule.window,
        "tokens": charged,
        "input_tokens": charged,
        "output_tokens": sum(line["completion_tokens"] for line in within("at")),
        "concurrency": sum(seconds for seconds in in_flight if seconds > 0) / rule.window,
    }
    for name, amount in amounts.items():
        if limit := rule.limits.get(name):
            yield amount / limit
