"""`explain` tells a person and a program the same plan; `submit` takes a policy along."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Command

POLICY = {"candidates": ["claude-haiku-4-5"], "fallbacks": {"default": ["sonar"]}}


def plan(command: Command, *arguments: str, typed: str = "") -> dict[str, Any]:
    done = command("explain", *arguments, "--json", typed=typed)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def names(listed: list[dict[str, Any]]) -> list[str]:
    return [each["deployment"] for each in listed]


def test_a_plan_is_told_in_a_table(serving: Command) -> None:
    done = serving("explain", "Prove it step by step.", "--model", "smart", "--rehearse")
    assert done.returncode == 0, done.stderr
    first, about, judged, _, header, row, *_ = done.stdout.splitlines()
    assert first.startswith("simulator")
    assert first.endswith("would be asked first")
    assert "at most" in about
    assert judged == "COMPLEX by these signals: steps +2, mathematics +3"
    assert header.split()[:2] == ["DEPLOYMENT", "AFTER"]
    assert row.startswith("simulator")
    assert "tier high for COMPLEX" in row


def test_options_a_file_and_stdin_mean_the_same_job(serving: Command) -> None:
    said = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello"}]}
    job = {"request": said, "rehearse": True, "policy": POLICY}
    (serving.folder / "job.json").write_text(json.dumps(job))
    (serving.folder / "policy.json").write_text(json.dumps(POLICY))
    options = ("Hello", "--model", "gpt-4.1", "--rehearse", "--policy")
    plans = [
        plan(serving, *options, json.dumps(POLICY)),
        plan(serving, *options, "policy.json"),
        plan(serving, "--file", "job.json"),
        plan(serving, "--file", "-", typed=json.dumps(job)),
    ]
    assert {tuple(names(each["candidates"])) for each in plans} == {
        ("simulator/gpt-4.1", "simulator-anthropic/claude-haiku-4-5")
    }
    assert names(plans[0]["fallbacks"]["default"]) == ["simulator-perplexity/sonar"]


def test_a_submitted_job_takes_its_policy_along_and_is_answered(serving: Command) -> None:
    done = serving(
        "submit", "Hello", "--rehearse", "--model", "smart", "--wait", "--json",
        "--policy", '{"max_cost_usd": 1}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout.splitlines()[-1])
    assert job["state"] == "succeeded"
    assert job["model"] == plan(serving, "Hello", "--model", "smart", "--rehearse")["model"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("Hello", "--policy", '{"tier": "middle"}'), "policy.tier: "),
        (("Hello", "--policy", "{tier}"), "--policy: not JSON"),
        (("Hello", "--policy", "nothing.json"), "--policy: nothing.json cannot be read"),
        (("--file", "nothing.json"), "--file: nothing.json cannot be read"),
        (("Hello", "--file", "job.json"), "--file is the whole job"),
        (("Hello", "--model", "gpt-44"), "unknown model 'gpt-44'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    serving: Command, arguments: tuple[str, ...], told: str
) -> None:
    done = serving("explain", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_tenants_policy_is_set_shown_and_taken_away(serving: Command) -> None:
    assert serving("policy", "show").stdout == "none\n"
    done = serving("policy", "set", json.dumps(POLICY), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["policy"] == POLICY
    told = plan(serving, "Hello", "--model", "gpt-4.1", "--rehearse")
    assert told["policy"] == POLICY
    assert serving("policy", "clear").stdout == "none\n"
    assert plan(serving, "Hello", "--model", "gpt-4.1", "--rehearse")["policy"] == {}
    refused = serving("policy", "set", '{"candidates": ["gpt-44"]}')
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "candidates[0]: unknown model 'gpt-44'" in refused.stderr


def test_a_file_is_answered_by_a_route(serving: Command) -> None:
    serving.write("asks.jsonl", [{"prompt": "Hello"}, {"prompt": "Compare tea and coffee."}])
    done = serving("run", "asks.jsonl", "--model", "smart", "--rehearse")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(serving.read("asks.answers.jsonl")) == 2
    unkeyed = serving("run", "asks.jsonl", "--model", "smart", "-o", "real.jsonl")
    assert unkeyed.returncode == 2
    assert "and smart needs it" in unkeyed.stderr


def test_a_file_is_quoted_and_answered_by_a_policy(serving: Command) -> None:
    serving.write("far.jsonl", [{"prompt": "Hello"}, {"prompt": "Hello again"}])
    (serving.folder / "policy.json").write_text(json.dumps({"candidates": ["claude-haiku-4-5"]}))
    words = ("far.jsonl", "--model", "gpt-4.1", "--rehearse", "--json", "--policy")
    quoted = json.loads(serving("quote", *words, "policy.json").stdout)
    assert quoted["models"][0]["deployments"] == [
        "simulator/gpt-4.1", "simulator-anthropic/claude-haiku-4-5",
    ]  # fmt: skip
    done = serving("run", *words, "policy.json", "-o", "far.out.jsonl")
    assert done.returncode == 0, done.stdout + done.stderr
    other = serving("run", *words, '{"max_tries": 2}', "-o", "far.out.jsonl")
    assert (other.returncode, "belongs to another run" in other.stderr) == (2, True)
    wrong = serving("run", *words, '{"candidates": ["gpt-44"]}', "-o", "wrong.jsonl")
    assert wrong.returncode == 2
    assert "policy.candidates[0]" in wrong.stderr


def test_one_job_may_cost_no_more_than_is_said(serving: Command) -> None:
    words = ("submit", "Hello", "--model", "gpt-4.1", "--rehearse", "--max-cost")
    done = serving(*words, "0.5", "--json")
    assert done.returncode == 0, done.stderr
    twice = serving(*words, "0.5", "--policy", '{"max_cost_usd": 1}')
    little = serving(*words, "0.000001")
    assert (twice.returncode, little.returncode) == (2, 2)
    assert "say it once" in twice.stderr
    assert "policy.max_cost_usd: $0.000001 pays for no call" in little.stderr


def test_the_routes_are_listed(serving: Command) -> None:
    header, *rows = serving("routes").stdout.splitlines()
    assert header.split() == ["ROUTE", "POLICY"]
    assert [row.split()[0] for row in rows] == ["best", "cheap", "fast", "smart"]
