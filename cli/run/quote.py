"""The quote of a file: asked for in pieces, and added together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import Any, Final

from cli.client import Client
from cli.errors import stderr
from cli.run.progress import LINE_SECONDS
from cli.run.reader import PromptFile
from cli.run.submit import MakeLine, chunks, in_chunks
from shared.domain.money import NANO_PER_USD, show_usd

PIECE_LINES: Final = 1000
MINUTE: Final = 60.0
SUMS: Final = ("lines", "input_tokens", "expected_input_tokens", "output_tokens", "price")
"""What of a model is added up."""
OF_BUDGETS: Final = ("lines", "expected", "most")


@dataclass(slots=True)
class Quoted:
    """What the pieces say together, in the API's words; `rejected` by the lines of the file."""

    lines: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    total: dict[str, Any] = field(default_factory=dict)
    models: dict[Any, dict[str, Any]] = field(default_factory=dict)
    budgets: dict[Any, dict[str, Any]] = field(default_factory=dict)
    refused_now: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Why lines that are right would not be accepted now, by its code: the first of each."""

    def nano(self, which: str) -> int:
        """The `least`, `expected` or `most` of all lines, nano-USD."""
        return int(self.total["price"][which]["nano_usd"]) if self.total else 0

    @property
    def eta(self) -> dict[str, Any] | None:
        """Of the model that takes the longest; None where none is known."""
        etas = [each["eta"] for each in self.models.values() if each["eta"]]
        return max(etas, key=lambda each: float(each["seconds"]), default=None)

    def take(self, prompts: PromptFile, before: int, piece: dict[str, Any]) -> None:
        """Add what one piece says, of which so many lines come before."""
        self.lines += piece["lines"]
        self.rejected += [
            (prompts.numbers[before + each["line"] - 1], each["message"])
            for each in piece["rejected"]
        ]
        self.total = _added(self.total, piece["total"]) if self.total else piece["total"]
        for model in piece["models"]:
            key = (model["model"], model["rehearse"], *model["deployments"])
            known = self.models.get(key)
            self.models[key] = _with(known, model) if known else model
        for budget in piece["budgets"]:
            key = (budget["of_the_house"], budget["name"])
            known = self.budgets.get(key)
            self.budgets[key] = _in_budget(known, budget) if known else budget

        # A server of an older version says nothing of it.
        for refusal in piece.get("refused_now", ()):
            line = refusal["line"] and prompts.numbers[before + refusal["line"] - 1]
            self.refused_now.setdefault(refusal["code"], {**refusal, "line": line})

    def as_json(self) -> dict[str, Any]:
        """As the API says it of one piece."""
        return {
            "lines": self.lines,
            "rejected": [{"line": line, "message": why} for line, why in sorted(self.rejected)],
            "refused_now": list(self.refused_now.values()),
            "total": self.total,
            "models": list(self.models.values()),
            "budgets": list(self.budgets.values()),
            "eta": self.eta,
        }

    def warnings(self) -> Iterator[str]:
        """Why it would not be accepted now."""
        for refusal in self.refused_now.values():
            where = f"line {refusal['line']}: " if refusal["line"] else ""
            yield f"it would not be accepted now: {where}{refusal['message']}"

    def in_words(self) -> str:
        """The price in one line."""
        most, expected = show_usd(self.nano("most")), show_usd(self.nano("expected"))
        return f"quoted: at most {most}, expected {expected}"


async def quote_file(
    prompts: PromptFile, make_line: MakeLine, api: Client, *, quiet: bool
) -> Quoted:
    """What its lines would cost; nothing is accepted. Raises RefusedError, UnavailableError."""
    quoted = Quoted()
    quoted.rejected += prompts.rejected
    told_at = monotonic()

    async def ask(chunk: list[bytes], before: int) -> tuple[int, dict[str, Any]]:
        return before, await api.quote_lines(chunk, of=len(prompts))

    async for before, piece in in_chunks(chunks(prompts, make_line, PIECE_LINES), ask):
        quoted.take(prompts, before, piece)
        if monotonic() - told_at >= LINE_SECONDS and not quiet:
            told_at = monotonic()
            stderr.print(f"  {quoted.lines}/{len(prompts)} lines quoted", markup=False)
    quoted.lines += len(prompts.rejected)
    return quoted


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers added up however deep they are; money in both of its forms."""
    both: dict[str, Any] = {}
    for name, value in one.items():
        if isinstance(value, dict):
            both[name] = _added(value, other[name])
        elif isinstance(value, int) and not isinstance(value, bool):
            both[name] = value + other[name]
        else:
            both[name] = value or other[name]
    if "nano_usd" in both:
        both["usd"] = _usd(both["nano_usd"])
    return both


def _with(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The lines of one model in two pieces."""
    sums = _added({k: one[k] for k in SUMS}, {k: other[k] for k in SUMS})
    eta = _later(one["eta"], other["eta"], other["lines"])
    return {**one, **sums, "eta": eta}


def _in_budget(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A budget that lines of two pieces count in; each piece says whether all would fit."""
    sums = _added({k: one[k] for k in OF_BUDGETS}, {k: other[k] for k in OF_BUDGETS})
    fits = {name: one[name] and other[name] for name in ("fits", "expected_fits")}
    return {**other, **sums, **fits}


def _later(
    eta: dict[str, Any] | None, other: dict[str, Any] | None, lines: int
) -> dict[str, Any] | None:
    """When so many lines more are done, at the pace that their piece was told."""
    if eta is None or other is None:
        return None
    turns = lines * (1 + other["other_tenants"])
    seconds = round(eta["seconds"] + turns * MINUTE / other["calls_a_minute"], 3)
    at = datetime.fromisoformat(other["at"]) + timedelta(seconds=seconds - other["seconds"])
    return {**other, "seconds": seconds, "at": at.isoformat().replace("+00:00", "Z")}


def _usd(nano: int) -> str:
    """As the API writes it: `0.00042`."""
    return format(Decimal(nano) / NANO_PER_USD, "f")
