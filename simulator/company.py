"""All accounts of one simulator, and what they share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from simulator.account import Account, RequestIds
from simulator.answers import Oracle
from simulator.faults import Script
from simulator.gate import Gate, PacificDay
from simulator.ledger import Ledger
from simulator.limits import Limits
from simulator.prices import PRICED_AS, model_prices
from simulator.shelf import Shelf

PACIFIC: Final = frozenset({"gemini"})
"""Whose day begins at midnight in California."""


@dataclass(slots=True, kw_only=True)
class Company:
    """An account at each provider, under the same key and, unless told otherwise, limits."""

    oracle: Oracle
    ledger: Ledger
    script: Script
    limits: Limits = field(default_factory=Limits)
    limits_of: Mapping[str, Limits] = field(default_factory=dict)
    """Those of single providers."""
    api_key: str | None = None
    overrides: list[str] = field(default_factory=list)
    """More models of every provider: NAME=IN,CACHED,OUT."""
    accounts: dict[str, Account] = field(init=False)

    def __post_init__(self) -> None:
        """Open the accounts. Raises ValueError that names a bad override."""
        ids = RequestIds()
        self.accounts = {
            provider: Account(
                provider=provider,
                shelf=Shelf(model_prices(self.overrides, provider)),
                oracle=self.oracle,
                gate=_gate(provider, self.limits_of.get(provider, self.limits)),
                ledger=self.ledger,
                script=self.script,
                ids=ids,
                api_key=self.api_key,
            )
            for provider in PRICED_AS
        }


def _gate(provider: str, limits: Limits) -> Gate:
    return Gate(limits, PacificDay() if provider in PACIFIC else None)
