"""A plan as people read it."""

from collections.abc import Iterator
from typing import Any, Final

from cli.jobs.show import table
from shared.domain.money import show_usd

HEADER: Final = ("DEPLOYMENT", "AFTER", "WORST CASE", "STANDING", "WHY")


def plan_lines(plan: dict[str, Any]) -> Iterator[str]:
    """What would become of the job, each candidate in its turn, and who is refused."""
    yield f"{plan['next']} would be asked first" if plan["next"] else "nobody can be called now"
    yield (
        f"a job of {plan['model']}, strategy {plan['strategy']}, at most "
        f"{plan['input_tokens']} input and {plan['max_tokens']} output tokens"
    )
    if plan["complexity"]:
        yield _judgement(plan["complexity"])
    yield ""
    lists = [("-", plan["candidates"]), *plan["fallbacks"].items(), ("budget", plan["downgrades"])]
    yield from table((_row(each, kind) for kind, listed in lists for each in listed), HEADER)
    if plan["refused"]:
        yield ""
        yield from table(
            ((each["name"], each["reason"]) for each in plan["refused"]), ("REFUSED", "WHY")
        )


def _judgement(judged: dict[str, Any]) -> str:
    if judged["chosen"]:
        return f"{judged['complexity']}, as the policy says"
    signals = ", ".join(f"{each['name']} {each['points']:+d}" for each in judged["signals"])
    return f"{judged['complexity']} by these signals: {signals or 'none'}"


def _row(each: dict[str, Any], kind: str) -> tuple[str, ...]:
    cost = each["worst_case"]
    return (
        each["deployment"],
        kind,
        show_usd(cost["nano_usd"]) if cost else "unknown",
        _standing(each["standing"]),
        "; ".join(each["reasons"]),
    )


def _standing(standing: dict[str, Any]) -> str:
    if standing["why_not"]:
        return str(standing["why_not"])
    if standing["callable"] is None:
        return "no worker"
    if standing["breaker"] not in {None, "closed"}:
        return f"breaker {standing['breaker']}"
    if standing["room"] is False:
        return f"waits for {standing['waits_for']}"
    flying, median = standing["in_flight"], standing["median_ms"]
    return f"ready, {flying} in flight" + (f", {median} ms" if median is not None else "")
