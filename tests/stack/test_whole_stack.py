"""Promises of a home's two servers under the supervisor, in a launcher of its own."""

import os
import signal
import socket
from pathlib import Path

import psycopg
import pytest
import redis

from cli.stack.home import Home
from tests.stack.launchers import (
    NOBODY,
    WHOLE_STACK,
    WITHOUT_ENTRY,
    Launcher,
    Launchers,
    alive,
    environment_of,
    until,
)

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another account")


def up(launchers: Launchers, root: Path, **env: str) -> Launcher:
    return launchers.start(WHOLE_STACK, env={"PROMPTMILL_HOME": str(root), **env})


def write_facts(database: str, broker: str) -> None:
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("create table fact as select 'kept' as word")
    client = redis.Redis.from_url(broker)
    client.set("fact", "kept")
    client.waitaof(num_local=1, num_replicas=0, timeout=5000)


def read_facts(database: str, broker: str) -> tuple[object, object]:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        row = connection.execute("select word from fact").fetchone()
    return row and row[0], redis.Redis.from_url(broker).get("fact")


def test_an_interrupt_stops_in_order_and_the_next_start_finds_the_data(
    launchers: Launchers, folder: Path
) -> None:
    first = up(launchers, folder / "home")
    pids = first.pids()
    write_facts(first.line("database"), first.line("redis"))
    first.process.send_signal(signal.SIGINT)
    assert first.rest()[-1] == "over"
    assert not any(map(alive, pids))
    second = up(launchers, folder / "home")
    second.pids()
    assert read_facts(second.line("database"), second.line("redis")) == ("kept", b"kept")


def test_a_killed_launcher_leaves_nothing_and_the_next_starts_at_once(
    launchers: Launchers, folder: Path
) -> None:
    first = up(launchers, folder / "home")
    pids = first.pids()
    write_facts(first.line("database"), broker := first.line("redis"))
    first.process.kill()
    second = up(launchers, folder / "home")
    second.line("locked")
    assert not any(map(alive, pids))
    second.pids()
    assert read_facts(second.line("database"), second.line("redis")) == ("kept", b"kept")
    assert second.lines[-1] == f"redis {broker}"


def test_servers_that_are_killed_come_back(launchers: Launchers, folder: Path) -> None:
    stack = up(launchers, folder / "home")
    postgres, valkey = stack.pids()
    write_facts(database := stack.line("database"), broker := stack.line("redis"))
    os.kill(valkey, signal.SIGKILL)
    assert stack.pids("valkey ready") != [valkey]
    os.kill(postgres, signal.SIGKILL)
    assert stack.pids("postgres ready") != [postgres]
    assert read_facts(database, broker) == ("kept", b"kept")


def test_a_second_launcher_is_told_who_runs_here(launchers: Launchers, folder: Path) -> None:
    first = up(launchers, folder / "home")
    first.pids()
    refusal = up(launchers, folder / "home").line("error")
    assert f"already running here (pid {first.process.pid}" in refusal
    assert Home(folder / "home").launcher() == first.process.pid


def test_a_port_that_was_taken_meanwhile_is_replaced(launchers: Launchers, folder: Path) -> None:
    first = up(launchers, folder / "home")
    before = first.line("redis")
    first.process.terminate()
    first.rest()
    with socket.socket() as thief:
        port = int(before.rsplit(":", 1)[1].removesuffix("/0"))
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        after = up(launchers, folder / "home").line("redis")
    assert after != before
    assert after.split("@")[0] == before.split("@")[0]
    assert redis.Redis.from_url(after).ping()


def test_no_secret_is_in_argv_environment_logs_or_open_files(
    launchers: Launchers, folder: Path
) -> None:
    stack = up(launchers, folder / "home")
    pids = stack.pids()
    password = stack.line("redis").split(":")[2].split("@")[0]
    home = Home(folder / "home")
    assert not any(password in environment_of(pid) for pid in pids)
    assert not any(password in log.read_text() for log in home.logs.iterdir())
    for secret in (home.state_file, home.valkey / "valkey.conf"):
        assert password in secret.read_text()
        assert secret.stat().st_mode & 0o777 == 0o600


def test_what_a_url_names_is_not_started(launchers: Launchers, folder: Path) -> None:
    stack = up(launchers, folder / "home", REDIS_URL="redis://elsewhere/1")
    assert len(stack.pids()) == 1
    assert stack.line("redis") == "redis://elsewhere/1"
    both = {"DATABASE_URL": "postgresql://elsewhere/x", "REDIS_URL": "redis://elsewhere/1"}
    nothing = up(launchers, folder / "nothing", **both)
    assert nothing.pids() == []
    assert nothing.line("database") == "postgresql://elsewhere/x"
    nothing.process.terminate()
    assert nothing.rest()[-1] == "over"
    assert {entry.name for entry in (folder / "nothing").iterdir()} <= {
        "lock",
        "logs",
        "state.json",
    }


def test_data_of_another_major_is_refused_in_words(launchers: Launchers, folder: Path) -> None:
    data = folder / "home" / "pg12"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    stack = up(launchers, folder / "home")
    assert str(data) in stack.line("error")
    refusal = stack.lines[-1]
    assert "of Postgres 12" in refusal
    assert "PROMPTMILL_PG_BIN" in refusal
    assert not any("Traceback" in line for line in stack.rest())


def test_a_deep_home_gets_a_short_socket(launchers: Launchers, folder: Path) -> None:
    deep = folder / ("deep" * 20) / "home"
    stack = up(launchers, deep)
    stack.pids()
    write_facts(database := stack.line("database"), stack.line("redis"))
    assert "host=/tmp/promptmill-" in database
    stack.process.terminate()
    stack.rest()
    Path(database.split("host=")[1].split("&")[0]).rmdir()


@AS_ROOT
@pytest.mark.parametrize("uid", [NOBODY, WITHOUT_ENTRY])
def test_an_ordinary_user_runs_it_even_without_a_passwd_entry(
    launchers: Launchers, folder: Path, uid: int
) -> None:
    os.chown(folder, uid, uid)
    stack = launchers.start(WHOLE_STACK, uid=uid, env={"HOME": str(folder)})
    pids = stack.pids()
    write_facts(stack.line("database"), stack.line("redis"))
    assert (folder / ".local/share/promptmill/state.json").stat().st_uid == uid
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {uid}
    stack.process.kill()
    until(lambda: not any(map(alive, pids)), "the servers are gone")


@AS_ROOT
def test_root_lends_the_servers_another_account(launchers: Launchers, folder: Path) -> None:
    stack = up(launchers, folder / "home", PROMPTMILL_PG_USER="nobody")
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in stack.pids()} == {NOBODY}


@AS_ROOT
def test_a_closed_home_of_root_stays_closed(launchers: Launchers, folder: Path) -> None:
    folder.chmod(0o700)
    stack = up(launchers, folder / "home")
    pids = stack.pids()
    write_facts(stack.line("database"), stack.line("redis"))
    assert folder.stat().st_mode & 0o777 == 0o700
    stack.process.kill()
    until(lambda: not any(map(alive, pids)), "the servers are gone")
