"""Usage as people read it: a table whose last column is a bar, and what would have cost less."""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from cli.jobs.show import table
from shared.domain.money import show_usd

BAR: Final = "█"
WIDEST: Final = 24
MOMENTS: Final = {
    "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d", "week": "%Y-%m-%d",
    "month": "%Y-%m",
}  # fmt: skip
"""How the beginning of a period is written; `total` has none."""
MEASURES: Final = ("CALLS", "ERRORS", "INPUT", "CACHED", "OUTPUT", "P50", "P95", "COST", "")
OVERLAPPING: Final = "tag"
"""A call may have several: no sum of the rows is the sum of the calls."""


def usage_lines(
    rows: Sequence[dict[str, Any]], *, every: str, time_zone: str, by: Sequence[str]
) -> Iterator[str]:
    """A table, and below it the sum."""
    if not rows:
        yield "no calls in this time; of rehearsals --rehearsals tells"
        return
    sizes = [_size(row) or 0 for row in rows]
    if not any(sizes):
        sizes = [row["calls"] for row in rows]
    most = max(sizes) or 1
    form = MOMENTS.get(every)
    zone = ZoneInfo(time_zone)
    lines = [
        (
            *([_moment(row["at"], zone, form)] if form else []),
            *(row["group"][name] or "-" for name in by),
            *_measures(row),
            BAR * round(WIDEST * max(size, 0) / most),
        )
        for row, size in zip(rows, sizes, strict=True)
    ]
    began = [every.upper()] if form else []
    yield from table(lines, (*began, *(name.upper() for name in by), *MEASURES))
    if OVERLAPPING not in by:
        yield ""
        yield _sum(rows)


def usage_csv(rows: Sequence[dict[str, Any]], by: Sequence[str]) -> str:
    """The same for a spreadsheet."""
    text = io.StringIO()
    flat = [_flat(row, by) for row in rows]
    names = list(flat[0]) if flat else ["at", *by]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def savings_lines(report: dict[str, Any]) -> Iterator[str]:
    """What each deployment's calls cost, what is cheaper, and what is taken for granted."""
    header = ("DEPLOYMENT", "CALLS", "COST", "SAME MODEL ELSEWHERE", "OTHER MODEL", "CACHES SAVED")
    rows = (
        (
            row["deployment"],
            f"{row['calls']:,}",
            _usd(row["cost"]),
            _alternative(row["same_model"]),
            _alternative(row["other_model"]),
            f"{_usd(row['caching']['saved'])} (at most {_usd(row['caching']['at_most'])} more)",
        )
        for row in report["data"]
    )
    yield from table(rows, header)
    yield ""
    yield (
        f"of {_usd(report['cost'])}: {_usd(report['same_model'])} saved by other providers of the "
        f"same models, {_usd(report['other_model'])} by other models that were used"
    )
    yield ""
    yield from report["assumptions"]


def _measures(row: dict[str, Any]) -> tuple[str, ...]:
    tokens, took = row["tokens"], row["latency_ms"]
    return (
        f"{row['calls']:,}",
        f"{row['error_rate']:.1%}",
        *(f"{tokens[name]:,}" for name in ("input", "cached", "output")),
        *("-" if took[name] is None else f"{took[name]:,} ms" for name in ("p50", "p95")),
        _usd(row["cost"]),
    )


def _sum(rows: Sequence[dict[str, Any]]) -> str:
    calls, answered = (sum(row[name] for row in rows) for name in ("calls", "answered"))
    cost, saved = (sum(row[name]["nano_usd"] for row in rows) for name in ("cost", "saved"))
    return (
        f"{calls:,} calls, {answered:,} answered, {show_usd(cost)}; caches saved {show_usd(saved)}"
    )


def _flat(row: dict[str, Any], by: Sequence[str]) -> dict[str, Any]:
    return {
        "at": row["at"],
        **{name: row["group"][name] for name in by},
        "calls": row["calls"],
        "answered": row["answered"],
        "error_rate": row["error_rate"],
        **{f"{name}_tokens": count for name, count in row["tokens"].items()},
        "cost_usd": row["cost"]["usd"],
        "saved_usd": row["saved"]["usd"],
        **{f"{name}_ms": took for name, took in row["latency_ms"].items()},
    }


def _alternative(found: dict[str, Any] | None) -> str:
    return f"{found['deployment']} saves {_usd(found['saves'])}" if found else "-"


def _moment(at: str, zone: ZoneInfo, form: str) -> str:
    return datetime.fromisoformat(at).astimezone(zone).strftime(form)


def _size(row: dict[str, Any]) -> int:
    nano: int = row["cost"]["nano_usd"]
    return nano


def _usd(cost: dict[str, Any]) -> str:
    return show_usd(cost["nano_usd"])
