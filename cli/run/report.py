"""What a run says at its end: to a person, or as JSON."""

from dataclasses import asdict
from typing import Any

from cli.run.command import Report
from shared.domain.money import show_usd


def as_json(report: Report) -> dict[str, Any]:
    """The report for a program."""
    written = asdict(report.written)
    return {
        "run_id": report.run_id,
        "out": str(report.out),
        "total": report.total,
        **written,
        "cost_usd": show_usd(report.written.cost_nano).removeprefix("$"),
        "quote_nano": report.quote.model_dump() if report.quote else None,
        "quote_error_percent": quote_error(report),
        "receipt": str(report.receipt.path) if report.receipt.path else None,
        "rehearsal": report.rehearse,
        "simulator_ledger_nano": report.simulator_nano,
        "resumed": report.resumed,
        "already_finished": report.already_finished,
        "blank_lines": report.blank,
        "seconds": {name: round(took, 3) for name, took in report.seconds.items()},
    }


def as_text(report: Report) -> list[str]:
    """The report for a person."""
    if report.already_finished:
        return [
            f"this run is finished: its answers are in {report.out}",
            "add --restart to run it anew",
        ]
    written = report.written
    took = report.seconds.get("answer", 0.0) + report.seconds.get("submit", 0.0)
    rate = f", {report.total / took:.0f}/s" if took else ""
    tokens = f"{written.input_tokens} input and {written.output_tokens} output tokens"
    lines = [
        f"{written.answered} answered, {written.failed} failed in {took:.1f} s{rate}",
        f"cost {show_usd(written.cost_nano)} for {tokens}",
    ]
    lines += _quote(report)
    lines += _warnings(report)
    lines += _rehearsal(report)
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    lines += [f"time: {phases}", f"answers: {report.out}"]
    if report.receipt.path:
        lines.append(f"receipt: {report.receipt.path}")
    return lines


def quote_error(report: Report) -> float | None:
    """Percent of the cost by which more was expected; below zero: less. None: nothing was."""
    cost = report.written.cost_nano
    if report.quote is None or not cost:
        return None
    return round((report.quote.expected - cost) * 100 / cost, 1)


def _quote(report: Report) -> list[str]:
    quote, off = report.quote, quote_error(report)
    if quote is None:
        return []
    error = "" if off is None else f": error {off:+.1f} %"
    most, expected = show_usd(quote.most), show_usd(quote.expected)
    cost = show_usd(report.written.cost_nano)
    return [f"quoted {most} at most (expected {expected}), cost {cost}{error}"]


def _warnings(report: Report) -> list[str]:
    written, lines = report.written, []
    if report.blank:
        lines.append(f"blank lines skipped: {report.blank}")
    if report.receipt.problem:
        lines.append(f"no receipt: {report.receipt.problem}")
    if written.failed:
        lines.append(f"{written.failed} lines have no answer: see their `error` in the file")
    if written.unsent:
        lines.append(
            f"{written.unsent} of them were not submitted, a budget has no room: the same command "
            "tries them again"
        )
    if written.truncated:
        lines.append(f"{written.truncated} answers were cut at max_tokens: raise --max-tokens")
    if written.unknown_costs:
        lines.append(
            f"{written.unknown_costs} jobs had a call whose end nobody knows: "
            "it is charged at the most that it can cost"
        )
    return lines


def _rehearsal(report: Report) -> list[str]:
    if not report.rehearse:
        return []
    lines = ["this was a rehearsal: the answers are the simulator's filler, nobody was billed"]
    bill, ours = report.simulator_nano or 0, report.written.cost_nano
    if bill == ours:
        lines.append(f"the simulator's own ledger says the same: {show_usd(bill)}")
    else:
        lines.append(
            f"the simulator's own ledger says {show_usd(bill)}, {show_usd(ours - bill)} less: "
            "calls that were broken off are charged at the most that they can cost"
        )
    return lines
