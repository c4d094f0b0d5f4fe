"""Several API processes over one database and one Redis are one service."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.api.conftest import MODEL, Api, eventually, serving
from tests.environment import environment

CREATE = "/v1/responses"
BLOCKED = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


@pytest.fixture
def other(api: Api, redis_url: str, tmp_path: Path) -> Iterator[str]:
    """Another process of the same service."""
    with serving(tmp_path, environment(api.database_url, redis_url)) as url:
        yield url


def create(api: Api, url: str, tries: int) -> str:
    """The id of what an SDK makes which has tried so often; it hangs up on no reply."""
    body: dict[str, Any] = {"model": MODEL, "input": "Once?", "background": True}
    headers = {"x-stainless-retry-count": str(tries)}
    with api.client() as client:
        reply = client.post(f"{url}{CREATE}", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    made: str = reply.json()["id"]
    return made


def test_a_retry_elsewhere_finds_what_is_being_made(api: Api, other: str) -> None:
    with (
        psycopg.connect(api.database_url.replace("+psycopg", "")) as holding,
        ThreadPoolExecutor() as clients,
    ):
        holding.execute("LOCK TABLE jobs IN SHARE MODE")
        first = clients.submit(create, api, api.url, 0)
        eventually(lambda: api.sql(BLOCKED)[0][0] == 1, "the first try is being committed")
        retried = clients.submit(create, api, other, 1)
        eventually(lambda: api.sql(BLOCKED)[0][0] == 2, "its retry waits")
        another = clients.submit(create, api, other, 1)
        eventually(lambda: api.sql(BLOCKED)[0][0] == 3, "another client's retry waits")
        holding.rollback()
        ids = [each.result() for each in (first, retried, another)]
    assert ids[0] == ids[1] != ids[2]
    assert api.sql("SELECT count(*) FROM jobs") == [(2,)]


def test_a_retry_of_nothing_makes_it(api: Api, other: str) -> None:
    assert create(api, other, 1) != create(api, api.url, 0)
