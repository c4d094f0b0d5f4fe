"""Scripted misbehaviour: which requests go wrong, and how."""

import random
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Strict(BaseModel):
    """An unknown word in a script is a mistake to tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(Strict):
    """Which requests a rule is about; what is absent matches all."""

    contains: str | None = None
    """In any message's text."""
    model: str | None = None
    client_request_id: str | None = None
    nth: tuple[int, ...] | None = None
    """Running numbers of the requests that match the rest, from 1."""


class Fault(Strict):
    """What happens instead of, or to, the answer."""

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    type: str = "server_error"
    code: str | None = None
    message: str = "scripted by the test"
    retry_after: float | None = None
    stall: float = 0.0
    """Seconds before anything else happens."""
    hang: bool = False
    reset: Literal["before", "after"] | None = None
    """Cut the connection without a reply, before or after the call is billed."""
    truncate: bool = False
    garbage: bool = False
    error_200: bool = False
    no_usage: bool = False
    content: str | None = None
    finish_reason: str | None = None
    cut: bool = False
    """End a stream without its terminal marker."""
    slow_bytes: float = 0.0
    """Seconds between parts of the reply."""

    @property
    def name(self) -> str:
        """The fault's word in the ledger."""
        return next(
            (word for word in sorted(self.model_fields_set) if word not in {"type", "code"}),
            "answered",
        )


class Rule(Strict):
    """One line of a script."""

    match: Match = Match()
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    times: int | None = None
    do: Fault


RULES = TypeAdapter(list[Rule])
FAULTLESS = Fault()


@dataclass(slots=True)
class _Line:
    rule: Rule
    seen: int = 0
    used: int = 0


@dataclass(slots=True)
class Script:
    """Rules in order; the first that matches decides."""

    seed: int
    _lines: list[_Line] = field(default_factory=list)
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311 - seeded, to repeat

    def load(self, rules: Any) -> None:
        """Replace the script. Raises pydantic.ValidationError."""
        self._lines = [_Line(rule) for rule in RULES.validate_python(rules)]

    def fault_for(self, *, text: str, model: str, client_request_id: str) -> Fault:
        """What shall happen to this request."""
        for line in self._lines:
            match = line.rule.match
            if (
                (match.contains is not None and match.contains not in text)
                or (match.model is not None and match.model != model)
                or (match.client_request_id not in {None, client_request_id})
            ):
                continue
            line.seen += 1
            if match.nth is not None and line.seen not in match.nth:
                continue
            if line.rule.times is not None and line.used >= line.rule.times:
                continue
            if self._dice.random() < line.rule.probability:
                line.used += 1
                return line.rule.do
        return FAULTLESS
