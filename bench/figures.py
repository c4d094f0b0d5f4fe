"""What is demanded, what was measured, and how both are told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One figure that must not be missed."""

    what: str
    bound: float
    at_least: bool = False
    unit: str = ""

    @property
    def words(self) -> str:
        """The bound as it is read."""
        return f"{'≥' if self.at_least else '≤'} {_number(self.bound)}{self.unit}"

    def met(self, figure: float) -> bool:
        """Whether the figure is on the right side of the bound."""
        return figure >= self.bound if self.at_least else figure <= self.bound


DEMANDS: Final[dict[str, Demand]] = {
    "bare": Demand(what="jobs/s, mill : bare loop", bound=0.85, at_least=True, unit=" x"),
    "prefork": Demand(
        what="jobs/s, mill : Celery prefork -c 32", bound=8, at_least=True, unit=" x"
    ),
    "threads": Demand(
        what="jobs/s, mill : Celery threads -c 500", bound=2, at_least=True, unit=" x"
    ),
    "in_flight": Demand(what="memory per job in flight", bound=80, unit=" KB"),
    "backlog_cost": Demand(what="CPU per job, dearest : smallest backlog", bound=1.10, unit=" x"),
    "backlog_memory": Demand(
        what="worker's memory, largest backlog : 10,000 (or less)", bound=1.10, unit=" x"
    ),
    "accept_time": Demand(what="time to accept a file : bare COPY", bound=3, unit=" x"),
    "accept_memory": Demand(what="peak memory of accepting, both processes", bound=300, unit=" MB"),
    "latency_p50": Demand(what="added latency of a person's job, p50", bound=15, unit=" ms"),
    "latency_p99": Demand(what="added latency of a person's job, p99", bound=50, unit=" ms"),
    "idle": Demand(what="idle worker process, of a core", bound=2, unit=" %"),
    "stream_cpu": Demand(what="CPU per piece of a streamed answer", bound=100, unit=" µs"),
    "stream_memory": Demand(what="memory per stream", bound=100, unit=" KB"),
    "quota_requests": Demand(what="use of a request quota", bound=98, at_least=True, unit=" %"),
    "quota_tokens": Demand(what="use of a token quota", bound=98, at_least=True, unit=" %"),
    "rejected": Demand(what="requests that the provider rejected", bound=0),
    "rescue": Demand(what="rescue after kill -9, p99", bound=40, unit=" s"),
    "usage": Demand(what="a question about usage over 5 million calls, p95", bound=200, unit=" ms"),
    "rollup": Demand(what="CPU to sum up a call, worker and Postgres", bound=100, unit=" µs"),
    "shares": Demand(what="a tenant's share off its weight, at most", bound=3, unit=" %"),
}


@dataclass(slots=True)
class Part:
    """What one part of the benchmark found: a table to read and figures to judge."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str | float]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    """By the keys of DEMANDS, or of the part's own."""
    demands: dict[str, Demand] = field(default_factory=dict)

    def judge(self, key: str, figure: float, demand: Demand) -> None:
        """One figure with what is demanded of it."""
        self.figures[key] = figure
        self.demands[key] = demand

    @property
    def met(self) -> bool:
        """Whether none of its own demands is missed."""
        return all(demand.met(self.figures[key]) for key, demand in self.demands.items())


def show(part: Part, console: Console) -> None:
    """The part's own table."""
    table = Table(title=part.title, title_justify="left")
    for number, column in enumerate(part.columns):
        table.add_column(column, justify="right" if number else "left")
    for row in part.rows:
        table.add_row(*(cell if isinstance(cell, str) else _number(cell) for cell in row))
    console.print(table)


def show_demands(
    figures: Mapping[str, float], demands: Mapping[str, Demand], console: Console
) -> None:
    """Each demand with its figure."""
    table = Table(title="Demands", title_justify="left")
    for column in ("what", "demand", "measured", ""):
        table.add_column(column, justify="left" if column == "what" else "right")
    for key, demand in demands.items():
        if key in figures:
            figure = figures[key]
            verdict = "met" if demand.met(figure) else "MISSED"
            table.add_row(demand.what, demand.words, f"{_number(figure)}{demand.unit}", verdict)
        else:
            table.add_row(demand.what, demand.words, "-", "not measured")
    console.print(table)


def as_json(parts: Sequence[Part], demands: Mapping[str, Demand], **about: Any) -> dict[str, Any]:
    """All of it for a machine."""
    figures = joined(parts)
    told = [
        {
            "what": demand.what,
            "demand": demand.words,
            "measured": figures.get(key),
            "met": demand.met(figures[key]) if key in figures else None,
        }
        for key, demand in demands.items()
    ]
    return {**about, "demands": told, "parts": [_without_demands(part) for part in parts]}


def joined(parts: Sequence[Part]) -> dict[str, float]:
    """The figures of all parts."""
    return {key: figure for part in parts for key, figure in part.figures.items()}


def _without_demands(part: Part) -> dict[str, Any]:
    return {name: value for name, value in asdict(part).items() if name != "demands"}


def _number(value: float) -> str:
    """Three digits, or all before the point."""
    if value == int(value):
        return f"{value:,.0f}"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}"
