"""A run leaves its receipt beside its answers, and `receipt` writes that of any job or batch."""

import csv
import json
from pathlib import Path
from typing import Any

from shared.catalog.pricing import priced_again
from tests.cli.conftest import Command


def total_of(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines of a receipt, and its sums."""
    *lines, last = map(json.loads, path.read_text().splitlines())
    return lines, last["total"]


def run(serving: Command, *options: str) -> dict[str, Any]:
    """A small rehearsal of its own; its report."""
    words = ("run", "q.jsonl", "--prompt", "{{q}}", "--rehearse", "--restart", "-o", "out.jsonl")
    done = serving(*words, "--json", *options)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_run_leaves_a_receipt_whose_sum_is_what_the_simulator_billed(serving: Command) -> None:
    serving.write("q.jsonl", [{"q": f"What is {n}?"} for n in range(12)])
    report = run(serving)
    path = serving.folder / "artifacts" / "costs" / f"{report['run_id']}.jsonl"
    assert path.samefile(serving.folder / report["receipt"])
    lines, total = total_of(path)
    assert (total["calls"], len(lines)) == (12, 12)
    assert total["cost_nano"] == report["cost_nano"] == report["simulator_ledger_nano"] > 0
    assert {line["batch"] for line in lines} == {report["run_id"]}
    for line in lines:
        assert priced_again(line["usage"], {"price": line["price"]["words"]}) == line["cost_nano"]

    again = serving("receipt", "--batch", report["run_id"])
    assert again.stdout == path.read_text()
    assert "12 attempts" in again.stderr
    one = serving("receipt", lines[0]["job"])
    assert json.loads(one.stdout.splitlines()[0]) == lines[0]
    told = serving("receipt", "--batch", report["run_id"], "-o", "sum.csv", "--json")
    assert json.loads(told.stdout) == {"attempts": 12, "out": "sum.csv"}
    with (serving.folder / "sum.csv").open() as file:
        *rows, last = csv.DictReader(file)
    assert sum(int(row["cost_nano"]) for row in rows) == int(last["cost_nano"])


def test_a_run_writes_its_receipt_where_it_is_told_or_nowhere(serving: Command) -> None:
    serving.write("q.jsonl", [{"q": "What is 1?"}])
    told = run(serving, "--receipt", "bills/this.csv")
    with (serving.folder / "bills" / "this.csv").open() as file:
        [_, last] = csv.DictReader(file)
    assert last["cost_nano"] == str(told["cost_nano"])
    none = run(serving, "--receipt", "none")
    assert none["receipt"] is None
    folder = serving.folder / "artifacts" / "costs"
    assert not (folder / f"{none['run_id']}.jsonl").exists()
    kept = run(serving, "--receipt", "q.jsonl")
    assert kept["receipt"] is None
    assert (serving.folder / "q.jsonl").read_text() == '{"q": "What is 1?"}\n'


def test_a_receipt_of_nothing_is_refused_in_a_sentence(serving: Command) -> None:
    for words in ((), ("job_x", "--batch", "b")):
        refused = serving("receipt", *words)
        assert (refused.returncode, "say whose receipt" in refused.stderr) == (2, True)
    unknown = serving("receipt", "--batch", "nobody's", "-o", "kept.jsonl")
    assert (unknown.returncode, "no job of a batch" in unknown.stderr) == (2, True)
    assert not (serving.folder / "kept.jsonl").exists()
