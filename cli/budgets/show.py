"""Budgets and their alerts as people read them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from cli.jobs.show import table
from shared.domain.money import show_usd

HEADER: Final = (
    "NAME", "OF", "EVERY", "CAP", "SPENT", "HELD", "LEFT", "USED", "AT LIMIT", "RESETS", "ID",
)  # fmt: skip
ALERTS_HEADER: Final = ("WINDOW", "SHARE", "SPENT", "CAP", "PASSED", "TOLD")
CELLS: Final = 10
FULL: Final = 100


def budget_lines(budgets: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A row for each."""
    return table(map(_row, budgets), HEADER)


def alert_lines(alerts: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A row for each."""
    rows = (
        (
            alert["window_starts_at"] or "all time", f"{alert['percent']}%", _usd(alert["spent"]),
            _usd(alert["cap"]), alert["at"], alert["told_at"] or "not yet",
        )
        for alert in alerts
    )  # fmt: skip
    return table(rows, ALERTS_HEADER)


def bar(percent: int) -> str:
    """`[###.......] 34%`; more than all fills it."""
    filled = min(percent, FULL) * CELLS // FULL
    return f"[{'#' * filled}{'.' * (CELLS - filled)}] {percent}%"


def _row(budget: dict[str, Any]) -> tuple[str, ...]:
    window = budget["window"]
    return (
        budget["name"], _whose(budget), _every(budget), _usd(budget["cap"]),
        _usd(window["spent"]), _usd(window["held"]), _usd(window["left"]),
        bar(window["used_percent"]), _policy(budget), window["resets_at"] or "never", budget["id"],
    )  # fmt: skip


def _whose(budget: dict[str, Any]) -> str:
    scope = " ".join(filter(None, (budget["scope"], budget["subject"])))
    return f"{scope} (house)" if budget["house"] else scope


def _every(budget: dict[str, Any]) -> str:
    return " ".join(each for each in (budget["every"], budget["time_zone"]) if each != "UTC")


def _policy(budget: dict[str, Any]) -> str:
    if not budget["downgrade_to"]:
        return str(budget["at_limit"])
    return f"{budget['downgrade_to']} from {budget['downgrade_at'] or FULL}%"


def _usd(cost: dict[str, Any]) -> str:
    return show_usd(cost["nano_usd"])
