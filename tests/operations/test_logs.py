"""Logs tell who and where, in allow-listed fields, and never a prompt, an answer or a key."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import structlog

from shared.catalog.load import load_catalog
from shared.domain.errors import ConfigurationError
from shared.telemetry.logs import configure_logs
from tests.api.conftest import make_key
from tests.mill import Mill, running_mill
from tests.operations.test_rolling_restart import Fleet, body, free_ports

PROMPT = "the quick brown prompt 7f3a9"
PROVIDER_KEY = "sk-provider-key-51c2"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where this process's logs go meanwhile; the standard library's are put back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_field_that_nobody_allowed_is_dropped_and_its_name_told(stream: io.StringIO) -> None:
    configure_logs("INFO", "json", stream)
    structlog.get_logger().info("done", job_id="job_1", prompt=PROMPT)
    [event] = events(stream)
    assert (event["event"], event["job_id"], event["dropped"]) == ("done", "job_1", ["prompt"])
    assert PROMPT not in stream.getvalue()


def test_what_is_bound_to_a_task_stands_in_each_of_its_lines(stream: io.StringIO) -> None:
    configure_logs("INFO", "json", stream)
    with structlog.contextvars.bound_contextvars(request_id="req_1", tenant_id="ten_1"):
        logging.getLogger("api.somewhere").warning("slow by %d s", 3)
    [event] = events(stream)
    assert event["request_id"] == "req_1"
    assert event["tenant_id"] == "ten_1"
    assert (event["logger"], event["event"]) == ("api.somewhere", "slow by 3 s")


def test_an_exception_is_told_by_its_types_and_places_without_its_words(
    stream: io.StringIO,
) -> None:
    configure_logs("DEBUG", "json", stream)

    def inner() -> None:
        raise ValueError(PROMPT)

    try:
        try:
            inner()
        except ValueError as error:
            raise KeyError(PROMPT) from error
    except KeyError:
        structlog.get_logger().exception("broke")
        logging.getLogger("somelib").exception("it said %s", PROMPT)
        logging.getLogger("asyncio").exception(f"never retrieved\n{PROMPT}")  # noqa: G004
    ours, theirs, loops = events(stream)
    for event in (ours, theirs, loops):
        assert "builtins.KeyError" in event["exception"]
        assert "operations/test_logs.py" in event["exception"]
        assert "builtins.ValueError" in event["exception"]
    assert (theirs["event"], loops["event"]) == ("it said %s", "never retrieved")
    assert PROMPT not in stream.getvalue()


def test_our_own_errors_keep_their_words(stream: io.StringIO) -> None:
    configure_logs("INFO", "json", stream)
    structlog.get_logger().error("broke", exc_info=ConfigurationError("REDIS_URL: wrong"))
    assert "ConfigurationError: REDIS_URL: wrong" in events(stream)[0]["exception"]


def test_a_database_quotes_no_values(stream: io.StringIO) -> None:
    configure_logs("DEBUG", "json", stream)
    words = f'(psycopg.errors.X) not JSON\nDETAIL: Token "{PROMPT}" is invalid.'
    structlog.get_logger().warning("report_refused", error=words)
    assert events(stream)[0]["error"] == "(psycopg.errors.X) not JSON"


def test_libraries_say_nothing_below_a_warning(stream: io.StringIO) -> None:
    configure_logs("DEBUG", "json", stream)
    for name in ("openai._base_client", "httpx2", "sqlalchemy.engine", "aiohttp.client"):
        logging.getLogger(name).debug("Request options: %s", PROMPT)
        logging.getLogger(name).info("Request options: %s", PROMPT)
    logging.getLogger("worker.pool").debug("ours")
    assert [event["event"] for event in events(stream)] == ["ours"]


async def call(fleet: Fleet, **options: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {fleet.key}"}
    async with httpx2.AsyncClient(base_url=fleet.address(0), headers=headers, timeout=40) as client:
        return await client.request(**options)


def marked() -> dict[str, Any]:
    job = body(1)
    job["request"]["messages"][0]["content"] = PROMPT
    return {**job, "metadata": {"note": PROMPT}}


async def refuse_results(mill: Mill) -> None:
    """From now on no result can be stored: whoever tells of it would quote it."""
    async with mill.database.transaction() as connection:
        await connection.exec_driver_sql(
            "ALTER TABLE results ADD CHECK (body->>'content' IS NULL) NOT VALID"
        )


@dataclass(frozen=True)
class Story:
    """What happened, and what was logged of it."""

    job_id: str
    secrets: tuple[str, ...]
    logs: dict[str, str]

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.logs[name].splitlines()]


async def told_at_debug(database_url: str, redis_url: str) -> Story:
    """A job that succeeds, one whose result is refused, a bad request and an error of ours."""
    keys = {v: PROVIDER_KEY for p in load_catalog().providers.values() for v in p.key_variables}
    debug = {"PROMPTMILL_LOG_LEVEL": "DEBUG", **keys}
    async with running_mill(database_url, redis_url, **debug) as mill:
        await mill.start_simulator()
        fleet = Fleet(mill, await make_key(database_url, "a"), free_ports())
        await fleet.start_api(0)
        await mill.start_worker(slots=5)
        job = (await call(fleet, method="POST", url="/api/v1/jobs", json=marked())).json()
        path = f"/api/v1/jobs/{job['id']}"
        ended = (await call(fleet, method="GET", url=path, params={"wait": 30})).json()
        assert ended["state"] == "succeeded"
        broken = {**marked(), "nonsense": PROMPT}
        refused = await call(fleet, method="POST", url="/api/v1/jobs", json=broken)
        assert refused.status_code == 400
        await refuse_results(mill)
        await call(fleet, method="POST", url="/api/v1/jobs", json=marked())
        await mill.all_final()
        async with mill.database.transaction() as connection:
            await connection.exec_driver_sql("ALTER TABLE payloads RENAME TO hidden")
        assert (await call(fleet, method="GET", url=path)).status_code == 500
        logs = {path.stem: path.read_text() for path in mill.folder.glob("*.log")}
    secrets = (PROMPT, PROVIDER_KEY, fleet.key, ended["result"]["content"])
    return Story(job["id"], secrets, logs)


async def test_a_job_leaves_no_prompt_and_no_key_in_any_log_at_debug(
    database_url: str, redis_url: str
) -> None:
    story = await told_at_debug(database_url, redis_url)
    assert {"api0", "worker0"} <= {name for name, told in story.logs.items() if told}
    for name, told in story.logs.items():
        assert [secret for secret in story.secrets if secret in told] == [], name
    replies = [line for line in story.lines("api0") if line["event"] == "replied"]
    assert all(line["request_id"] for line in replies)
    path = f"/api/v1/jobs/{story.job_id}"
    assert {line["tenant_id"] for line in replies if line["path"] == path} == {"ten_a"}
    [unexpected] = [line for line in story.lines("api0") if line["event"] == "unexpected_error"]
    assert unexpected["request_id"] in {line["request_id"] for line in replies}
    workers = story.lines("worker0")
    landed = next(line for line in workers if line.get("job_id") == story.job_id)
    assert (landed["tenant_id"], landed["attempt_id"][:4]) == ("ten_a", "att_")
    assert [line for line in workers if line["event"] == "report_refused"]
