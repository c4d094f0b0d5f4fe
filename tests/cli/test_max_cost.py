"""`promptmill run --max-cost`: a file is answered as far as the money reaches, and never beyond."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Command, sql

CAP = "0.0002"
CAP_NANO = 200_000
"""Some calls of twenty tokens to gpt-4.1-mini, and not forty."""
RUN = ("run", "q.jsonl", "-o", "out.jsonl", "--max-tokens", "20", "--json", "--max-cost")


@pytest.fixture
def paying(on_servers: Command) -> Iterator[Command]:
    """A command whose OpenAI is a simulator, but which takes it for the real one."""
    simulator = on_servers.start("simulate", "--json")
    assert simulator.stdout is not None
    url = json.loads(simulator.stdout.readline())["base_urls"]["simulator"]
    overlay = on_servers.folder / "paying.toml"
    overlay.write_text(f'[providers.openai]\nbase_url = "{url}"\n')
    on_servers.environ |= {"PROMPTMILL_CATALOG": str(overlay), "OPENAI_API_KEY": "sk-test"}
    yield on_servers
    simulator.terminate()
    simulator.wait(20)


def test_a_run_costs_no_more_than_it_may(paying: Command) -> None:
    paying.write("q.jsonl", [{"prompt": f"What is {n} + {n}?"} for n in range(40)])
    done = paying(*RUN, CAP, "--project", "sums", "--tag", "nightly")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    answers = [row["promptmill"] for row in paying.read("out.jsonl")]
    answered = [each for each in answers if each["state"] == "succeeded"]
    assert 0 < report["cost_nano"] == sum(each["cost"]["nano_usd"] for each in answered) <= CAP_NANO
    assert 0 < len(answered) == report["answered"] < len(answers) == 40
    without = [each["error"] for each in answers if each["state"] != "succeeded"]
    assert {each["kind"] for each in without} == {"budget"}
    url = paying.environ["DATABASE_URL"]
    [(name, scope, cap, spent, held)] = sql(
        url,
        "SELECT name, scope, cap_nano, spent_nano, held_nano FROM budgets"
        " JOIN budget_windows ON budget_id = budgets.id",
    )
    assert (name, scope, cap) == (f"batch:{report['run_id']}", "batch", CAP_NANO)
    assert (spent, held) == (report["cost_nano"], 0)
    assert sql(url, "SELECT DISTINCT project, tags FROM jobs") == [("sums", ["nightly"])]
    other = paying(*RUN, "0.0003", "--project", "sums", "--tag", "nightly")
    assert (other.returncode, "belongs to another run" in other.stderr) == (2, True)
