"""What a provider says it billed: a file of its totals by day and model, and their parts."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
import typer

from cli.amounts import read_usd
from cli.errors import InputError
from shared.domain.money import to_nano

NAMES: Final = ("provider", "model", "day", "cost")


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """What a total is of."""

    day: date
    provider: str
    model: str


def read_bill(file: Path) -> dict[Group, int]:
    """Nano-USD by group, lines of one group added up. Raises InputError that names the line.

    CSV with the columns provider, model, day, cost (USD), or JSON: an array of such objects.
    """
    try:
        rows = list(_rows(file))
    except OSError as error:
        raise InputError(f"{file}: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, csv.Error, orjson.JSONDecodeError) as error:
        raise InputError(f"{file}: neither CSV nor JSON: {error}") from None
    bill: dict[Group, int] = {}
    for number, row in rows:
        group, nano = _read(f"{file}:{number}", row)
        bill[group] = bill.get(group, 0) + nano
    if not bill:
        raise InputError(f"{file}: no line has a cost; give {', '.join(NAMES)}")
    return bill


def parts(total: int, charged: Sequence[int]) -> list[int]:
    """The total in parts as large as what is charged, none larger than that; exact integers."""
    whole = sum(charged)
    amount = min(max(total, 0), whole)
    ends, reached = [0], 0
    for each in charged:
        reached += each
        ends.append(amount * reached // whole if whole else 0)
    return [end - begin for begin, end in pairwise(ends)]


def _rows(file: Path) -> Iterator[tuple[int, Any]]:
    """Each object with the number of its line, or of its place in an array."""
    text = file.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        yield from enumerate(orjson.loads(text), 1)
        return
    reader = csv.DictReader(text.splitlines())
    for row in reader:
        yield reader.line_num, row


def _read(place: str, row: Any) -> tuple[Group, int]:
    if not isinstance(row, Mapping) or (lacks := [n for n in NAMES if not row.get(n)]):
        missing = ", ".join(lacks) if isinstance(row, Mapping) else "an object"
        raise InputError(f"{place}: {missing} is missing; give {', '.join(NAMES)}")
    try:
        day = date.fromisoformat(str(row["day"]))
    except ValueError:
        raise InputError(f"{place}: day {row['day']!r}: say it as 2026-11-21, in UTC") from None
    try:
        cost = read_usd(str(row["cost"]))
    except typer.BadParameter as error:
        raise InputError(f"{place}: cost {error.message}") from None
    return Group(day, str(row["provider"]), str(row["model"])), to_nano(cost)
