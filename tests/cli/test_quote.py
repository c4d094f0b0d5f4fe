"""`promptmill quote` before a run, the run's own quote with its error, and `promptmill tokens`."""

import json
import os
import pty
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.conftest import Command, sql
from tests.cli.test_bad_input import batch_line

PROMPT = ("--prompt", "{{question}}", "--rehearse", "--max-tokens", "60")
QUOTE = ("quote", "q.jsonl", *PROMPT)
RUN = ("run", "q.jsonl", *PROMPT, "-o", "out.jsonl", "--restart")


def questions(number: int) -> list[dict[str, Any]]:
    return [{"question": f"What is {n} + {n}, and why{'?' * n}"} for n in range(number)]


def nano(quoted: dict[str, Any], which: str) -> int:
    return int(quoted["total"]["price"][which]["nano_usd"])


def jobs_of(command: Command) -> int:
    [(number,)] = sql(command.environ["DATABASE_URL"], "SELECT count(*) FROM jobs")
    return int(number)


def test_a_quote_is_what_a_run_holds_and_its_cost_lies_within(serving: Command) -> None:
    serving.write("q.jsonl", questions(40))
    before = jobs_of(serving)
    told = serving(*QUOTE, "--json")
    assert told.returncode == 0, told.stderr
    quoted = json.loads(told.stdout)
    assert (quoted["lines"], jobs_of(serving)) == (40, before)
    done = serving(*RUN, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    holds = sql(
        serving.environ["DATABASE_URL"],
        "SELECT sum(hold_nano)::bigint, count(*) FROM attempts JOIN jobs ON jobs.id = job_id"
        f" WHERE batch = '{report['run_id']}'",
    )
    assert holds == [(nano(quoted, "most"), 40)]
    assert report["quote_nano"]["most"] == nano(quoted, "most")
    assert nano(quoted, "least") <= report["cost_nano"] <= nano(quoted, "most")
    expected, cost = report["quote_nano"]["expected"], report["cost_nano"]
    assert report["quote_error_percent"] == round((expected - cost) * 100 / cost, 1)
    # What was answered says how long the next answers are.
    again = json.loads(serving(*QUOTE, "--json").stdout)
    assert re.match(r"the mean of \d+ answers", again["models"][0]["basis"])
    assert abs(nano(again, "expected") - cost) < abs(expected - cost) or expected == cost
    in_words = serving(*RUN)
    assert re.search(r"quoted \S+ at most \(expected \S+\), cost \S+: error ", in_words.stdout)
    assert "quoted: at most $" in in_words.stderr


MIXED = ("gpt-4.1-mini", "claude-haiku-4-5", "gemini-3.8-flash", "grok-4.7", "sonar")


def test_the_cost_of_every_providers_models_lies_within_their_quote(serving: Command) -> None:
    lines = [batch_line(f"{name}-{n}", max_tokens=40) for n in range(4) for name in MIXED]
    for line, name in zip(lines, MIXED * 4, strict=True):
        line["body"]["model"] = name
    serving.write("mixed.jsonl", lines)
    quoted = json.loads(serving("quote", "mixed.jsonl", "--rehearse", "--json").stdout)
    done = serving("run", "mixed.jsonl", "--rehearse", "-o", "mixed.out.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    costs = dict(
        sql(
            serving.environ["DATABASE_URL"],
            "SELECT split_part(route, ':', 2), sum(cost_nano)::bigint FROM jobs"
            f" WHERE batch = '{json.loads(done.stdout)['run_id']}' GROUP BY 1",
        )
    )
    assert set(costs) == set(MIXED)
    for model in quoted["models"]:
        price, cost = model["price"], costs[model["model"]]
        assert price["least"]["nano_usd"] <= cost <= price["most"]["nano_usd"], model


def test_a_quote_in_words_names_price_basis_and_pace(serving: Command) -> None:
    serving.write("q.jsonl", questions(3))
    said = serving(*QUOTE).stdout
    assert "AT MOST" in said
    assert "gpt-4.1-mini" in said
    assert "USD per million tokens" in said


def test_a_long_file_is_quoted_in_pieces(serving: Command) -> None:
    (serving.folder / "long.txt").write_text("Why?\n" * 1500)
    (serving.folder / "short.txt").write_text("Why?\n")
    long, short = (
        json.loads(serving("quote", f"{name}.txt", "--rehearse", "--json").stdout)
        for name in ("long", "short")
    )
    assert (long["lines"], len(long["models"])) == (1500, 1)
    for which in ("least", "expected", "most"):
        assert nano(long, which) == 1500 * nano(short, which)
        assert nano(long, which) == long["models"][0]["price"][which]["nano_usd"]
    assert long["total"]["input_tokens"] == 1500 * short["total"]["input_tokens"]


def test_lines_that_would_be_refused_are_named_beside_the_price_of_the_others(
    serving: Command,
) -> None:
    lines = [batch_line(f"id-{n}", max_tokens=30) for n in range(4)]
    lines[2]["body"]["model"] = "gpt-4.1-minj"
    text = [json.dumps(line) for line in lines]
    (serving.folder / "mixed.jsonl").write_text("\n".join([text[0], "{no", *text[1:], ""]))
    before = jobs_of(serving)
    told = serving("quote", "mixed.jsonl", "--rehearse", "--json")
    assert told.returncode == 1, told.stderr
    quoted = json.loads(told.stdout)
    assert [each["line"] for each in quoted["rejected"]] == [2, 4]
    assert "did you mean gpt-4.1-mini" in quoted["rejected"][1]["message"]
    assert (quoted["lines"], quoted["total"]["lines"]) == (5, 3)
    said = serving("quote", "mixed.jsonl", "--rehearse").stdout
    assert "2 of 5 lines would be refused" in said
    assert "mixed.jsonl:4: " in said
    assert jobs_of(serving) == before


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), ("y\n", 0)])
def test_a_dear_run_is_asked_about_on_a_terminal(serving: Command, answer: str, code: int) -> None:
    serving.write("q.jsonl", questions(2))
    before = jobs_of(serving)
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *RUN, "--confirm-above", "0.000001"],
        cwd=serving.folder,
        env=serving.environ,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.write(keyboard, answer.encode())
    said, _ = process.communicate(timeout=60)
    os.close(keyboard)
    os.close(terminal)
    assert process.returncode == code, said
    assert "more than --confirm-above $0.000001; go on?" in said
    assert jobs_of(serving) - before == (0 if code else 2)


def test_where_nobody_can_be_asked_a_dear_run_is_refused(serving: Command) -> None:
    serving.write("q.jsonl", questions(2))
    before = jobs_of(serving)
    refused = serving(*RUN, "--confirm-above", "0.000001")
    assert refused.returncode == 2
    assert "nobody can be asked; nothing was submitted" in refused.stderr
    assert jobs_of(serving) == before
    assert serving(*RUN, "--confirm-above", "1").returncode == 0


def test_tokens_are_counted_for_models_and_compared_with_what_was_billed(serving: Command) -> None:
    serving.write("q.jsonl", questions(5))
    assert serving(*RUN).returncode == 0
    models = ("--model", "gpt-4.1-mini", "--model", "claude-haiku-4-5")
    counted = [
        json.loads(line)
        for line in serving("tokens", "Why is the sky blue?", *models, "--json").stdout.splitlines()
    ]
    assert [each["counted"] for each in counted] == ["exact", "upper estimate"]
    told = serving("tokens", "--accuracy", "--json").stdout
    by_deployment = {each["deployment"]: each for each in map(json.loads, told.splitlines())}
    assert not any(each["too_few"] for each in by_deployment.values()), "a hold was too small"
    accuracy = by_deployment["simulator/gpt-4.1-mini"]
    # The simulator counts a token less of each message than OpenAI does.
    assert 0 <= accuracy["bias"] <= accuracy["p95_error"] < 0.5
    assert "TOO FEW" in serving("tokens", "--accuracy").stdout
    both = serving("tokens", "Hello", "--accuracy")
    assert (both.returncode, "--accuracy" in both.stderr) == (2, True)


def test_a_quote_needs_no_stack_and_no_key(on_servers: Command) -> None:
    on_servers.write("q.jsonl", questions(2))
    told = on_servers("quote", "q.jsonl", "--prompt", "{{question}}", "--json")
    assert told.returncode == 0, told.stderr
    quoted = json.loads(told.stdout)
    assert nano(quoted, "most") > 0
    assert "OPENAI_API_KEY" in quoted["models"][0]["blocked"]
