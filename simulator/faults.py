"""Scripted misbehaviour: which requests go wrong, and how."""

import random
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, TypeAdapter

from simulator.call import Call, Problem
from simulator.strict import Strict

ANSWERED: Final = "answered"
OUTCOMES: Final = (
    "hang",
    "reset",
    "stream_error",
    "truncate",
    "garbage",
    "error_200",
    "cut",
    "no_usage",
    "block_reason",
    "refusal",
    "content",
    "finish_reason",
    "slow_bytes",
    "stall",
)
"""A fault is told in the ledger by the gravest of its actions: these, in order."""


class Match(Strict):
    """Which requests a rule is about; what is absent matches all."""

    contains: str | None = None
    """In any message's text."""
    model: str | None = None
    provider: str | None = None
    client_request_id: str | None = None
    nth: tuple[PositiveInt, ...] | None = None
    """Running numbers of the requests that match the rest, from 1."""


class Fault(Strict):
    """What happens instead of, or to, the answer."""

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """An error reply; it is not billed."""
    type: str | None = None
    code: str | None = None
    message: str = "scripted by the test"
    retry_after: NonNegativeFloat | None = None
    """Seconds."""
    stall: NonNegativeFloat = 0.0
    """Seconds before anything else happens."""
    hang: bool = False
    """Billed, and never answered; the connection stays open."""
    reset: Literal["before", "after"] | None = None
    """Cut the connection without a reply, before or after the call is billed."""
    truncate: bool = False
    """The first half of the reply, then the connection closes."""
    garbage: bool = False
    """HTML with status 200."""
    error_200: bool = False
    """An error object with status 200."""
    stream_error: bool = False
    """An error in the middle of a stream; a reply that is no stream has status 500."""
    no_usage: bool = False
    content: str | None = None
    """This text is the answer."""
    finish_reason: str | None = None
    """In the wire's own words."""
    refusal: str | None = None
    """The model declines in these words."""
    block_reason: str | None = None
    """The prompt is refused; Gemini's way."""
    cut: bool = False
    """A stream ends without its last chunks."""
    slow_bytes: NonNegativeFloat = 0.0
    """Seconds between the bytes of a reply, or between the chunks of a stream."""

    @property
    def outcome(self) -> str:
        """The fault's word in the ledger."""
        present = (word for word in OUTCOMES if getattr(self, word) not in {None, 0})
        return next(present, ANSWERED)

    @property
    def billed(self) -> bool:
        """Whether the call costs money."""
        return self.status is None and self.reset != "before"

    def problem(self, status: int) -> Problem:
        """What the error says, under this status."""
        return Problem(
            status, self.message, type=self.type, code=self.code, retry_after=self.retry_after
        )


class Rule(Strict):
    """One line of a script."""

    match: Match = Match()
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    times: PositiveInt | None = None
    """How often the rule strikes at most."""
    do: Fault


RULES: Final = TypeAdapter(list[Rule])
FAULTLESS: Final = Fault()


@dataclass(slots=True)
class _Line:
    rule: Rule
    seen: int = 0
    struck: int = 0

    def strikes(self, dice: random.Random) -> bool:
        """Whether the rule strikes a request that its words match."""
        rule = self.rule
        self.seen += 1
        if rule.match.nth is not None and self.seen not in rule.match.nth:
            return False
        if rule.times is not None and self.struck >= rule.times:
            return False
        if dice.random() >= rule.probability:
            return False
        self.struck += 1
        return True


@dataclass(slots=True)
class Script:
    """Rules in order; the first that strikes decides."""

    seed: int
    _lines: list[_Line] = field(default_factory=list)
    _dice: random.Random = field(default_factory=random.Random)

    def load(self, rules: Any) -> None:
        """Replace the script and throw the same dice again. Raises pydantic.ValidationError."""
        self._lines = [_Line(rule) for rule in RULES.validate_python(rules)]
        self._dice.seed(self.seed)

    def fault_for(self, provider: str, call: Call) -> Fault:
        """What shall happen to this request."""
        for line in self._lines:
            match = line.rule.match
            matched = (
                (match.contains is None or match.contains in call.text)
                and match.model in {None, call.model}
                and match.provider in {None, provider}
                and match.client_request_id in {None, call.client_request_id}
            )
            if matched and line.strikes(self._dice):
                return line.rule.do
        return FAULTLESS
