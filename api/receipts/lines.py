"""What a receipt says of one attempt, and the sum of them, as JSON lines or as a table."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol

import orjson
from sqlalchemy import Row

from shared.catalog.pricing import BILLED_SEARCHES, COMPUTED
from shared.catalog.rate_card import PRICE
from shared.domain.generation import Usage
from shared.domain.money import NANO_PER_USD
from shared.faces.cells import cell

TOLD_APART: Final = ("service_tier", "cost_nano")
"""Fields of Usage that count nothing."""
COUNTS: Final = tuple(each.name for each in fields(Usage) if each.name not in TOLD_APART)
MADE_BY: Final = ("version", "provider", "model", BILLED_SEARCHES)
"""Of the price: which list, whose, for which name on it; the searches, where not all are billed."""
COLUMNS: Final = (
    "attempt", "job", "batch", "project", "end_user", "tags", "key", "deployment", "provider",
    "model", "state", "failure", "planned_at", "sent_at", "ended_at", "calls", *COUNTS,
    "service_tier", "price", "price_version", "hold_nano", "cost_nano", "cost_usd", "flagged",
    "reported_nano", "difference_nano", "corrected_nano", "correction", "provider_request_id",
)  # fmt: skip
TOTAL: Final = "total"


@dataclass(slots=True)
class Total:
    """What a spreadsheet comes to that adds up the lines."""

    attempts: int = 0
    calls: int = 0
    """Those that were sent."""
    open: int = 0
    """Those that have not ended: their cost is not known yet."""
    flagged: int = 0
    """Those whose bill nobody knows: they are charged at their holds."""
    cost_nano: int = 0

    def add(self, line: Mapping[str, Any]) -> None:
        """Count one attempt."""
        self.attempts += 1
        self.calls += line["calls"]
        self.open += line["ended_at"] is None
        self.flagged += line["flagged"]
        self.cost_nano += line["cost_nano"] or 0

    def said(self) -> dict[str, Any]:
        """The sums, by name."""
        sums = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**sums, "cost_usd": _usd(self.cost_nano)}


class Form(Protocol):
    """How lines are written."""

    media_type: str
    suffix: str

    def head(self) -> bytes:
        """What comes before all lines."""
        ...

    def line(self, line: Mapping[str, Any]) -> bytes:
        """One attempt."""
        ...

    def total(self, total: Total) -> bytes:
        """The last line."""
        ...


def line_of(row: Row[Any]) -> dict[str, Any]:
    """One attempt with all that its cost is made of; money in nano-USD."""
    provider, _, model = row.deployment.partition("/")
    usage, price = row.usage or {}, row.price
    reported = usage.get("cost_nano")
    return {
        "attempt": row.id,
        "job": row.job_id,
        "batch": row.batch,
        "project": row.project,
        "end_user": row.end_user,
        "tags": list(row.tags or ()),
        "key": row.key_id,
        "deployment": row.deployment,
        "provider": provider,
        "model": model,
        "state": row.state,
        "failure": row.failure_kind,
        "planned_at": row.planned_at,
        "sent_at": row.sent_at,
        "ended_at": row.ended_at,
        "calls": int(row.sent_at is not None),
        "usage": {name: usage.get(name, 0) for name in COUNTS} if row.usage else None,
        "service_tier": usage.get("service_tier"),
        "price": _price(price) if price else None,
        "hold_nano": row.hold_nano,
        "cost_nano": row.cost_nano,
        "cost_usd": None if row.cost_nano is None else _usd(row.cost_nano),
        "flagged": row.flagged,
        "reported_nano": reported,
        "difference_nano": _difference(reported, (price or {}).get(COMPUTED)),
        "corrected_nano": row.corrected_nano,
        "correction": row.reason,
        "provider_request_id": row.provider_request_id,
    }


def _price(price: Mapping[str, Any]) -> dict[str, Any]:
    return {"words": price.get(PRICE), **{name: price[name] for name in MADE_BY if name in price}}


def _difference(reported: int | None, computed: int | None) -> int | None:
    """How much more the provider billed than its prices say."""
    return None if reported is None or computed is None else reported - computed


def _usd(nano: int) -> str:
    return format(Decimal(nano) / NANO_PER_USD, "f")


class JsonLines:
    """An object a line; the last has `total`."""

    media_type = "application/x-ndjson"
    suffix = "jsonl"

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def line(self, line: Mapping[str, Any]) -> bytes:
        """One object."""
        return _json(line)

    def total(self, total: Total) -> bytes:
        """The sums."""
        return _json({TOTAL: total.said()})


class Table:
    """Comma-separated, each sum under what it sums up."""

    media_type = "text/csv; charset=utf-8"
    suffix = "csv"

    def head(self) -> bytes:
        """The names of the columns."""
        return _row(COLUMNS)

    def line(self, line: Mapping[str, Any]) -> bytes:
        """One row."""
        price = line["price"] or {}
        flat = {
            **line,
            **(line["usage"] or {}),
            "flagged": int(line["flagged"]),
            "tags": line["tags"] or None,
            "price": price.get("words"),
            "price_version": price.get("version"),
        }
        return _row(flat.get(name) for name in COLUMNS)

    def total(self, total: Total) -> bytes:
        """The sums, below their columns."""
        sums = {**total.said(), "attempt": TOTAL}
        return _row(sums.get(name) for name in COLUMNS)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def _row(values: Iterable[Any]) -> bytes:
    buffer = io.StringIO()
    cells = (cell(value.isoformat() if isinstance(value, datetime) else value) for value in values)
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode()
