"""What an operator asks of a running stack: up, status, logs, Flower, doctor, down."""

import json
import os
from collections.abc import Iterator

import httpx2
import psutil
import pytest

from tests.cli.conftest import Command, eventually, sql


@pytest.fixture
def stack(on_servers: Command) -> Iterator[Command]:
    """A stack that was started with --detach."""
    up = on_servers("up", "--detach", "--simulator")
    assert up.returncode == 0, up.stderr
    assert "Promptmill is up at http://127.0.0.1:" in up.stdout
    yield on_servers
    if on_servers("status").returncode == 0:
        on_servers("down")


def test_a_detached_stack_tells_how_it_is_and_stops_when_told(stack: Command) -> None:
    status = json.loads(stack("status", "--json").stdout)
    assert status["health"]["status"] == "ok"
    assert {"api", "flower", "worker1", "isolated", "simulator"} <= status["services"].keys()
    for name, process in status["services"].items():
        assert (process["status"], process["restarts"]) == ("ready", 0), name
        assert process["memory"] > 1 << 20
    assert {worker["name"] for worker in status["workers"]} == {"worker1", "isolated"}
    assert {tuple(worker["queues"])[-1] for worker in status["workers"]} == {"upkeep", "isolated"}
    assert status["last_minute"] == {"calls": 0, "answered": 0, "tokens": 0, "cost_nano": 0}

    stack.write("q.jsonl", [{"q": f"number {n}"} for n in range(20)])
    assert stack("run", "q.jsonl", "--prompt", "{{q}}", "--rehearse").returncode == 0
    minute = json.loads(stack("status", "--json").stdout)["last_minute"]
    assert (minute["calls"], minute["answered"]) == (20, 20)
    assert minute["tokens"] > 20
    assert "20 answered of 20 calls" in stack("status").stdout

    _flower_wants_its_password(stack, status["flower"])
    _logs_are_prefixed(stack)
    _a_dead_child_is_started_again(stack, status["services"]["worker1"]["pid"])

    pids = stack.pids()
    launcher = json.loads(stack("status", "--json").stdout)["pid"]
    assert json.loads(stack("down", "--json").stdout) == {"stopped": launcher}
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert stack("status").returncode == 1


def _flower_wants_its_password(stack: Command, url: str) -> None:
    password = stack("key", "--flower").stdout.strip()
    told = json.loads(stack("key", "--flower", "--json").stdout)
    assert told == {"flower_password": password}
    assert httpx2.get(f"{url}/api/workers").status_code == 401
    workers = httpx2.get(f"{url}/api/workers", auth=("promptmill", password))
    assert workers.status_code == 200
    assert any(name.startswith("worker1@") for name in workers.json())


def _logs_are_prefixed(stack: Command) -> None:
    logs = stack("logs", "-n", "5")
    assert logs.returncode == 0
    assert all(" | " in line for line in logs.stdout.splitlines())
    assert "simulator | simulator ready" in stack("logs", "simulator").stdout
    first = json.loads(stack("logs", "simulator", "--json").stdout.splitlines()[0])
    assert first["process"] == "simulator"
    unknown = stack("logs", "nobody")
    assert unknown.returncode == 2
    assert "no process is called 'nobody'; there are api, " in unknown.stderr


def _a_dead_child_is_started_again(stack: Command, pid: int) -> None:
    psutil.Process(pid).kill()

    def restarted() -> bool:
        worker = json.loads(stack("status", "--json").stdout)["services"]["worker1"]
        return bool(worker["status"] == "ready" and worker["restarts"] == 1)

    eventually("the worker is started again", restarted)


def test_in_the_foreground_it_shows_what_its_processes_write(on_servers: Command) -> None:
    up = on_servers.start("up", "--no-flower", "--logs", "--json")
    eventually("all is ready", lambda: on_servers.state().get("extra", {}).get("ready"))
    status = json.loads(on_servers("status", "--json").stdout)
    assert status["flower"] is None
    assert "flower" not in status["services"]
    with (on_servers.home / "logs" / "api.log").open("a") as log:
        log.write("a line of the api\n")
    assert on_servers("down").returncode == 0
    written, _ = up.communicate(timeout=30)
    told = [json.loads(line) for line in written.splitlines()]
    assert {"process": "api", "line": "a line of the api"} in told
    assert {line["process"] for line in told if "status" in line} >= {"api", "worker1"}
    states = [line["state"] for line in told if "state" in line]
    assert states == ["up", "stopping"]


def test_a_stack_that_cannot_start_detached_says_why(on_servers: Command) -> None:
    up = on_servers("up", "--detach", PROMPTMILL_CATALOG="nowhere.toml")
    assert up.returncode == 2
    assert "nowhere.toml, which does not exist" in up.stderr
    assert "Traceback" not in up.stderr
    assert on_servers("status").returncode == 1


def test_the_doctor_finds_nothing_wrong_with_given_servers(on_servers: Command) -> None:
    healthy = on_servers("doctor", OPENAI_API_KEY="sk-a-key-of-mine")
    assert healthy.returncode == 0, healthy.stdout
    assert "0 problems" in healthy.stdout
    assert "keys for openai" in healthy.stdout
    assert "sk-a-key-of-mine" not in healthy.stdout


def test_the_doctor_misses_the_schema(on_servers: Command) -> None:
    sql(on_servers.environ["DATABASE_URL"], "DELETE FROM alembic_version RETURNING 1")
    report = on_servers("doctor")
    assert report.returncode == 1
    assert "-> promptmill migrate" in report.stdout


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", "check DATABASE_URL"),
        ("REDIS_URL", "redis://127.0.0.1:1/0", "check REDIS_URL"),
        ("PROMPTMILL_LEASE__TTL", "-3", "correct it"),
        pytest.param(
            "PROMPTMILL_PG_USER",
            "root",
            "correct it",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="it counts for root alone"),
        ),
        ("PROMPTMILL_CATALOG", "nowhere.toml", "correct that file, or unset PROMPTMILL_CATALOG"),
        ("PROMPTMILL_HOME", "/dev/null/home", "set PROMPTMILL_HOME to a folder"),
    ],
)
def test_the_doctor_names_the_variable_and_the_way_out(
    light: Command, variable: str, value: str, said: str
) -> None:
    report = light("doctor", **{variable: value})
    assert report.returncode == 1, report.stdout + report.stderr
    assert f"-> {said}" in report.stdout


def test_the_doctor_finds_a_misspelt_setting(light: Command) -> None:
    report = light("doctor", PROMPTMILL_PEPER="0123456789abcdef")
    assert "nobody reads PROMPTMILL_PEPER (near: PROMPTMILL_PEPPER)" in report.stdout
