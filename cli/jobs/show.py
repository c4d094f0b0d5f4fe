"""Jobs as people read them: a table, and the story of one."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from shared.domain.clock import SystemClock
from shared.domain.money import show_usd

HEADER: Final = ("ID", "STATE", "ROUTE", "LANE", "AGE", "COST")
SAYS: Final = {
    "not_before": "its time has not come",
    "backoff": "it pauses after a failed try",
    "provider": "its provider asked for a pause",
    "budget": "its budget is used up",
    "no_deployment": "nobody can call its model",
    "no_worker": "no worker is alive",
    "worker": "it is released; a worker takes it next",
    "workers": "all workers are full",
    "concurrency": "the deployment's concurrency is used up",
    "rate": "the deployment's quota is used up",
    "rest": "the provider asked for a pause",
    "breaker": "the deployment failed too often; one call at a time finds out whether it is well",
    "no_meter": "its meter cannot be read",
    "max_running": "as many calls are in flight as its owner may have",
    "turn": "its turn: others go first, or the next turn takes it",
}


def table(rows: Iterable[Sequence[str]], header: Sequence[str]) -> Iterator[str]:
    """Lines of columns that are as wide as what is in them."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()


def as_row(job: dict[str, Any]) -> tuple[str, ...]:
    """One job of a table, in the order of HEADER."""
    return (
        job["id"], job["state"], _route(job), job["lane"], age(job["created_at"]),
        _cost(job["cost"]),
    )  # fmt: skip


def age(moment: str) -> str:
    """How long ago, in the largest unit: `42s`, `3h`."""
    return span((SystemClock().now() - datetime.fromisoformat(moment)).total_seconds())


def span(seconds: float) -> str:
    """A duration in the largest unit that it fills."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def story(why: dict[str, Any]) -> Iterator[str]:
    """The state of a job, what it waits for, and each attempt."""
    yield f"{why['id']}  {why['state']}  {_route(why)}  lane {why['lane']}"
    yield f"made {why['created_at']} ({age(why['created_at'])} ago), deadline {why['deadline']}"
    yield f"tries {why['tries']} of {why['max_tries']}, cost {_cost(why['cost'])}"
    if why["cancel_requested"] and why["finished_at"] is None:
        yield "it was asked to stop"
    if why["waiting"]:
        yield from _wait(why["waiting"])
    if why["error"] and why["state"] != "succeeded":
        yield f"error: {why['error']['kind']}: {why['error']['message']}"
    yield "attempts:" if why["attempts"] else "no attempt yet"
    for attempt in why["attempts"]:
        yield from _attempt(attempt)


def _wait(waiting: dict[str, Any]) -> Iterator[str]:
    limit = f" ({waiting['limit']})" if waiting["limit"] else ""
    until = f", until {waiting['until']}" if waiting["until"] else ""
    detail = f": {waiting['detail']}" if waiting["detail"] else ""
    yield f"waits: {SAYS.get(waiting['reason'], waiting['reason'])}{limit}{until}{detail}"
    if eta := waiting["eta"]:
        yield f"  its turn comes in about {span(eta['seconds'])}: {eta['basis']}"
    if waiting["deployment"] is None:
        return
    yield f"  your jobs before it: {waiting['ahead']}; other tenants: {waiting['other_tenants']}"
    limits = [
        f"{name} {value:.0f}" for name, value in waiting["limits"].items()
        if value and name != "window_seconds"
    ]  # fmt: skip
    window = f" in {waiting['limits']['window_seconds']:g} s" if limits else ""
    yield (
        f"  {waiting['deployment']}: in flight {waiting['in_flight']}, workers take "
        f"{waiting['capacity']}; quota {', '.join(limits) or 'none'}{window}"
    )
    if waiting["candidates"]:
        yield f"  or {', '.join(waiting['candidates'])}"


def _attempt(attempt: dict[str, Any]) -> Iterator[str]:
    took = f", {attempt['latency_ms']} ms" if attempt["latency_ms"] is not None else ""
    cost = _cost(attempt["cost"]) if attempt["cost"] else f"up to {_cost(attempt['held'])}"
    when = attempt["sent_at"] or attempt["planned_at"]
    yield f"  {when}  {attempt['deployment']}  {attempt['state']}, {cost}{took}"
    if attempt["error"]:
        yield f"    {attempt['error']['kind']}: {attempt['error']['message']}"


def _route(job: dict[str, Any]) -> str:
    return f"{job['model']} (rehearsal)" if job["rehearse"] else str(job["model"])


def _cost(cost: dict[str, Any]) -> str:
    return show_usd(cost["nano_usd"]) + ("?" if cost["unknown"] else "")
