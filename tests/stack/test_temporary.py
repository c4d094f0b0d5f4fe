"""Promises of the servers that tests start for themselves."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from cli.stack.servers import Servers
from tests.stack.launchers import Launchers, alive, until

HELD = """
import os
from cli.stack.servers import Servers
with Servers.temporary() as servers:
    print("home", servers.home.root, flush=True)
    pids = [child.pid for child in servers._children.values()]
    print("pids", *pids, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers.temporary() as started:
        yield started


def connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True, connect_timeout=5)


def value(url: str, statement: str) -> object:
    with connect(url) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def test_both_answer_at_their_urls(servers: Servers) -> None:
    assert value(servers.database_url, "select current_database()::text") == "promptmill"
    assert redis.Redis.from_url(servers.redis_url).ping()


def test_postgres_listens_on_no_network(servers: Servers) -> None:
    assert value(servers.database_url, "show listen_addresses") == ""
    assert value(servers.database_url, "show max_connections") == "200"
    assert value(servers.database_url, "show fsync") == "off"


def test_valkey_refuses_a_stranger(servers: Servers) -> None:
    without_password = "redis://" + servers.redis_url.split("@")[1]
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(without_password).ping()


def test_a_database_is_copied_from_a_template_and_dropped_under_its_users(
    servers: Servers,
) -> None:
    template = servers.create_database("first")
    with connect(template) as connection:
        connection.execute("create table fact as select 7 as n")
    copy = servers.create_database("second", template="first")
    assert value(copy, "select n from fact") == 7
    with connect(copy) as still_connected:
        servers.drop_database("second")
        with pytest.raises(psycopg.OperationalError):
            still_connected.execute("select 1")
    servers.drop_database("second")
    servers.drop_database("first")


def test_a_killed_valkey_comes_back_at_its_port_with_its_data(servers: Servers) -> None:
    client = redis.Redis.from_url(servers.redis_url)
    client.set("kept", "yes")
    servers.kill_valkey()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(servers.redis_url).ping()
    servers.start_valkey()
    assert client.get("kept") == b"yes"


def test_an_emptied_valkey_comes_back_with_nothing(servers: Servers) -> None:
    client = redis.Redis.from_url(servers.redis_url)
    client.set("lost", "yes")
    servers.empty_valkey()
    assert client.get("lost") is None


@pytest.mark.parametrize("immediate", [True, False])
def test_a_killed_postgres_comes_back_with_its_data(servers: Servers, immediate: bool) -> None:  # noqa: FBT001
    with connect(servers.database_url) as connection:
        connection.execute("create table kept as select 'yes' as n")
        servers.kill_postgres(immediate=immediate)
        with pytest.raises(psycopg.OperationalError):
            connect(servers.database_url)
    servers.start_postgres()
    assert value(servers.database_url, "select n from kept") == "yes"
    with connect(servers.database_url) as connection:
        connection.execute("drop table kept")


def test_paused_servers_hang_and_go_on(servers: Servers) -> None:
    client = redis.Redis.from_url(servers.redis_url, socket_timeout=0.2, retry=None)
    with connect(servers.database_url) as connection, ThreadPoolExecutor() as threads:
        servers.pause_valkey()
        servers.pause_postgres()
        asked = threads.submit(connection.execute, "select 1")
        with pytest.raises(redis.TimeoutError):
            client.ping()
        assert not asked.done()
        servers.resume_postgres()
        servers.resume_valkey()
        asked.result(timeout=5)
        assert client.ping()


def test_urls_in_the_environment_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/production")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    with Servers.temporary() as own:
        assert "elsewhere" not in own.database_url + own.redis_url


def test_nothing_is_left_after_a_clean_end() -> None:
    began = time.monotonic()
    with Servers.temporary() as own:
        root, pids = own.home.root, [child.pid for child in own._children.values()]  # noqa: SLF001
        assert all(map(alive, pids))
    assert not root.exists()
    assert not any(map(alive, pids))
    assert time.monotonic() - began < 20


def test_nothing_is_left_when_the_test_session_is_killed(launchers: Launchers) -> None:
    session = launchers.start(HELD)
    root, pids = Path(session.line("home")), session.pids()
    until(lambda: not any(map(alive, pids)), "the servers are gone")
    until(lambda: not root.exists(), "the folder is gone")
