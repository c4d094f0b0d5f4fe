"""What a quote says to a person."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from cli.jobs.show import span, table
from cli.run.quote import Quoted
from shared.domain.money import show_usd

HEADER: Final = ("MODEL", "LINES", "INPUT", "OUTPUT", "LEAST", "EXPECTED", "AT MOST")
MOST_SHOWN: Final = 10
"""Lines that would be refused; --json names all."""


def as_text(quoted: Quoted, name: str) -> Iterator[str]:
    """Lines; the name is the file's."""
    rows = [_row(each["model"], each) for each in quoted.models.values()]
    if len(rows) > 1:
        rows.append(_row("all", quoted.total))
    if rows:
        yield from table(rows, HEADER)
    for model in quoted.models.values():
        yield f"{model['model']}: expected by {model['basis']}; prices: {model['prices']}"
        if model["blocked"]:
            yield f"{model['model']}: {model['blocked']}"
    yield from _eta(quoted)
    yield from map(_budget, quoted.budgets.values())
    yield from quoted.warnings()
    yield from _rejected(quoted, name)


def _row(name: str, of: dict[str, Any]) -> tuple[str, ...]:
    output = of["output_tokens"]
    return (
        name,
        str(of["lines"]),
        str(of["input_tokens"]),
        f"{output['expected']} (at most {output['most']})",
        *(_money(of["price"][each]) for each in ("least", "expected", "most")),
    )


def _money(cost: dict[str, Any]) -> str:
    return show_usd(cost["nano_usd"])


def _eta(quoted: Quoted) -> Iterable[str]:
    eta = quoted.eta
    if eta is None:
        return
    paced = f"{eta['calls_a_minute']:.4g} calls a minute by {eta['binding']} of {eta['deployment']}"
    before = f"; {eta['ahead']} jobs of yours go first" if eta["ahead"] else ""
    yield f"done in about {span(eta['seconds'])}: {paced}{before}"


def _budget(budget: dict[str, Any]) -> str:
    """What one budget leaves."""
    if budget["fits"]:
        said = "has room for all"
    elif budget["expected_fits"]:
        said = f"has room for what is expected, not for all holds at once: it will {_then(budget)}"
    else:
        said = f"has no room for it: it will {_then(budget)}"
    left = f", {_money(budget['left'])} left" if budget["left"] else ""
    return f"budget {budget['name']}{left}: {said}"


def _then(budget: dict[str, Any]) -> str:
    return {
        "reject": "refuse what does not fit",
        "park": "make jobs wait",
        "downgrade": "send jobs to its cheaper route",
    }[budget["at_limit"]]


def _rejected(quoted: Quoted, name: str) -> Iterator[str]:
    if not quoted.rejected:
        return
    yield f"{len(quoted.rejected)} of {quoted.lines} lines would be refused:"
    for line, why in sorted(quoted.rejected)[:MOST_SHOWN]:
        yield f"{name}:{line}: {why}"
    if (more := len(quoted.rejected) - MOST_SHOWN) > 0:
        yield f"… and {more} more; --json names all"
