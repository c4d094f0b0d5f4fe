"""`promptmill run` from nothing to answers, interrupted and resumed, and the stack beside it."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, eventually, sql
from tests.cli.test_bad_input import batch_line
from tests.mill import QUICK_LEASES

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k-test.jsonl"


def questions(number: int) -> list[dict[str, Any]]:
    return [{"n": n, "question": f"What is {n} + {n}?"} for n in range(number)]


def ledger(command: Command) -> list[dict[str, Any]]:
    path = command.home / "rehearsal-ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_answers(answers: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    """In order, each with id, model, usage and cost, each once."""
    assert [{k: v for k, v in row.items() if k != "promptmill"} for row in answers] == asked
    ours = [row["promptmill"] for row in answers]
    assert len({answer["id"] for answer in ours}) == len(asked)
    for answer in ours:
        assert answer["state"] == "succeeded"
        assert answer["model"] == "gpt-4.1-mini"
        assert answer["usage"]["output_tokens"] > 0
        assert answer["cost"]["nano_usd"] > 0


RUN = ("run", "q.jsonl", "--prompt", "{{question}}", "--rehearse", "-o", "out.jsonl")


def test_a_rehearsal_answers_in_order_and_costs_what_the_simulator_billed(
    promptmill: Command,
) -> None:
    asked = questions(120)
    promptmill.write("q.jsonl", asked)
    done = promptmill(*RUN, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    answers = promptmill.read("out.jsonl")
    check_answers(answers, asked)
    cost = sum(answer["promptmill"]["cost"]["nano_usd"] for answer in answers)
    assert cost == report["cost_nano"] == sum(line["cost_nano"] for line in ledger(promptmill))
    again = promptmill(*RUN)
    assert (again.returncode, "finished" in again.stdout) == (0, True)
    other = promptmill(*RUN[:3], "Other {{question}}", *RUN[4:])
    assert (other.returncode, "--restart" in other.stderr) == (2, True)


def test_openais_batch_file_comes_back_in_openais_batch_form(promptmill: Command) -> None:
    lines = [batch_line(f"id-{n}", max_tokens=30) for n in range(20)]
    promptmill.write("q.jsonl", lines)
    done = promptmill("run", "q.jsonl", "--rehearse", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    answers = promptmill.read("out.jsonl")
    assert [row["custom_id"] for row in answers] == [line["custom_id"] for line in lines]
    for row in answers:
        assert row["error"] is None
        assert row["response"]["status_code"] == 200
        assert row["response"]["body"]["choices"][0]["message"]["content"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_stopped_goes_on_where_it_was(
    promptmill: Command, number: signal.Signals
) -> None:
    asked = questions(150)
    promptmill.write("q.jsonl", asked)
    promptmill.slow(per_minute=1800)
    first = promptmill.start(*RUN)
    path = promptmill.home / "rehearsal-ledger.jsonl"
    eventually(
        "some are answered", lambda: path.exists() and len(path.read_bytes().splitlines()) > 20
    )
    children = promptmill.pids()
    assert len(children) >= 5
    os.kill(first.pid, number)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == (-number if number == signal.SIGKILL else 130)
    assert "Traceback" not in said
    eventually("nothing of it is left", lambda: not [pid for pid in children if alive(pid)])
    assert not (promptmill.folder / "out.jsonl").exists()

    second = promptmill(*RUN, "--json")
    assert second.returncode == 0, second.stderr
    report = json.loads(second.stdout)
    assert report["resumed"] is True
    answers = promptmill.read("out.jsonl")
    check_answers(answers, asked)
    billed = sum(line["cost_nano"] for line in ledger(promptmill))
    assert billed <= report["cost_nano"]
    assert (billed == report["cost_nano"]) or report["unknown_costs"] > 0


def test_a_worker_that_dies_is_started_again_and_said(promptmill: Command) -> None:
    asked = questions(100)
    promptmill.write("q.jsonl", asked)
    promptmill.slow(per_minute=1200)
    promptmill.environ |= QUICK_LEASES
    run = promptmill.start(*RUN)
    path = promptmill.home / "rehearsal-ledger.jsonl"
    eventually(
        "some are answered", lambda: path.exists() and len(path.read_bytes().splitlines()) > 10
    )
    os.kill(promptmill.state()["services"]["worker1"]["pid"], signal.SIGKILL)
    said, _ = run.communicate(timeout=100)
    assert run.returncode == 0, said
    assert "worker1 ended and is started again" in said
    check_answers(promptmill.read("out.jsonl"), asked)


def test_failed_lines_are_said_and_the_exit_code_is_1(
    promptmill: Command,
) -> None:
    promptmill.write("q.jsonl", questions(3))
    overlay = promptmill.folder / "nowhere.toml"
    overlay.write_text('[providers.openai]\nbase_url = "http://127.0.0.1:9"\n')
    promptmill.environ |= {"PROMPTMILL_CATALOG": str(overlay), "OPENAI_API_KEY": "sk-test"}
    done = promptmill(
        "run", "q.jsonl", "--prompt", "{{question}}", "-o", "out.jsonl", "--tries", "1"
    )
    assert done.returncode == 1, done.stderr
    assert "3 failed" in done.stdout
    for row in promptmill.read("out.jsonl"):
        assert row["promptmill"]["error"]["kind"] == "unreachable"
        assert row["promptmill"]["cost"]["nano_usd"] == 0


def test_up_serves_runs_and_down_leaves_nothing(on_servers: Command) -> None:
    up = on_servers.start("up", "--simulator")
    eventually("the stack is up", lambda: on_servers.state().get("extra", {}).get("ready"))
    children = on_servers.pids()
    status = json.loads(on_servers("status", "--json").stdout)
    assert status["running"] is True
    assert status["health"]["status"] == "ok"
    assert {"api", "worker1", "isolated", "simulator"} <= status["services"].keys()
    on_servers.write("q.jsonl", questions(10))
    assert on_servers(*RUN).returncode == 0
    second = on_servers("up")
    assert (second.returncode, "already running" in second.stderr) == (2, True)
    assert on_servers("down").returncode == 0
    assert up.wait(30) == 0
    assert not [pid for pid in children if alive(pid)]
    assert sql(on_servers.environ["DATABASE_URL"], "SELECT DISTINCT state FROM jobs") == [
        ("succeeded",)
    ]


def test_a_database_of_ones_own_may_be_named_in_dotenv(on_servers: Command) -> None:
    url = on_servers.environ.pop("DATABASE_URL").replace("+psycopg", "")
    (on_servers.folder / ".env").write_text(f"DATABASE_URL={url}\n")
    assert "up to date" in on_servers("migrate").stdout
    on_servers.write("q.jsonl", questions(5))
    done = on_servers(*RUN)
    assert done.returncode == 0, done.stderr
    assert sql(url, "SELECT count(*) FROM jobs") == [(5,)]


def test_a_start_that_is_broken_off_leaves_nothing(on_servers: Command) -> None:
    up = on_servers.start("up")
    children = eventually("some child lives", on_servers.pids)
    up.send_signal(signal.SIGINT)
    said, _ = up.communicate(timeout=30)
    assert up.returncode == 130, said
    assert "Traceback" not in said
    assert "Promptmill is up" not in said
    assert not [pid for pid in children if alive(pid)]


def test_an_occupied_port_is_named(on_servers: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = on_servers("up", "--port", port)
    assert done.returncode == 2
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not GSM8K.exists(), reason="the GSM8K file is not beside this checkout")
def test_a_real_file_of_1319_questions(promptmill: Command) -> None:
    arguments = ("--prompt", "{{question}}", "--rehearse", "-o", "out.jsonl", "--json")
    done = promptmill("run", str(GSM8K), *arguments)
    assert done.returncode == 0, done.stderr
    asked = [json.loads(line) for line in GSM8K.read_text().splitlines()]
    check_answers(promptmill.read("out.jsonl"), asked)
    assert json.loads(done.stdout)["cost_nano"] == sum(
        line["cost_nano"] for line in ledger(promptmill)
    )


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(") ", 1)[1][0] != "Z"
