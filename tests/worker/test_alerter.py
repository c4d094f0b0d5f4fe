"""Each alert of a budget is told once to each who hears of it, by whichever worker, or again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from pydantic import SecretStr, ValidationError
from sqlalchemy import text
from structlog.testing import capture_logs

from shared.db.alerts import claim_alerts
from shared.security.webhooks import signed_headers
from shared.settings import AlertSettings, EgressSettings, Settings
from tests.environment import PEPPER
from tests.life import Life
from worker.upkeep.alerter import FIRST_PAUSE, LONGEST_PAUSE, Alerter, pause

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PASSED = (
    """
INSERT INTO budgets (id, tenant_id, name, scope, subject, cap_nano, every, time_zone, at_limit,
                     alerts)
VALUES ('bud_1', 'ten_a', 'team', 'project', 'blue', 1000, 'day', 'UTC', 'park', '{75,90}')""",
    """
INSERT INTO budget_windows (budget_id, starts_at, ends_at, spent_nano)
VALUES ('bud_1', '2026-11-21Z', '2026-11-22Z', 910)""",
    """
INSERT INTO budget_alerts (window_id, percent, spent_nano, cap_nano)
SELECT id, percent, 760 + percent, 1000 FROM budget_windows, unnest(ARRAY[75, 90]) AS percent""",
)


@dataclass(slots=True)
class Hook:
    """The operator's server: what it got, and what it answers."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    """Of the next answers; 204 after these."""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append(({**request.headers}, await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook, app, port = Hook(), web.Application(), unused_port()
    app.add_routes([web.post("/hook", hook.answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    hook.url = f"http://127.0.0.1:{port}/hook"
    yield hook
    await runner.cleanup()


@pytest.fixture
async def passed(life: Life) -> Life:
    """A budget of which two shares were passed today."""
    for statement in PASSED:
        await run(life, statement)
    return life


async def run(life: Life, statement: str) -> None:
    async with life.database.transaction() as connection:
        await connection.execute(text(statement))


def alerter(life: Life, url: str | None, *, allow_private: bool = True) -> Alerter:
    secret = SecretStr(SECRET) if url else None
    alerts = AlertSettings(url=url, secret=secret, timeout=2, allow_private=allow_private)
    values: dict[str, Any] = {
        "DATABASE_URL": SecretStr("postgresql://nobody"),
        "REDIS_URL": SecretStr("redis://nobody"),
        "pepper": SecretStr(PEPPER),
        "egress": EgressSettings(),
        "alerts": alerts,
    }
    return Alerter(life.database, Settings(**values))


async def untold(life: Life) -> list[Any]:
    return await life.all("SELECT * FROM budget_alerts WHERE told_at IS NULL ORDER BY percent")


async def test_the_hook_gets_each_alert_signed_and_the_log_a_line(passed: Life, hook: Hook) -> None:
    with capture_logs() as logs:
        await alerter(passed, hook.url).visit()
        await alerter(passed, hook.url).visit()
    lines = [line for line in logs if line["event"] == "budget_alert"]
    assert [(line["percent"], line["spent_nano"]) for line in lines] == [(75, 835), (90, 850)]
    assert len(hook.got) == 2
    for headers, body in hook.got:
        at = int(headers["webhook-timestamp"])
        expected = signed_headers([SecretStr(SECRET)], headers["webhook-id"], at, body)
        assert expected["webhook-signature"] == headers["webhook-signature"]
    told = orjson.loads(hook.got[0][1])
    assert told["type"] == "budget.alert"
    assert told["data"]["percent"] == 75
    assert told["data"]["budget"]["subject"] == "blue"
    assert told["data"]["window"]["ends_at"] == "2026-11-22T00:00:00Z"
    assert await untold(passed) == []


async def test_several_workers_tell_each_alert_once(passed: Life, hook: Hook) -> None:
    await asyncio.gather(*(alerter(passed, hook.url).visit() for _ in range(4)))
    assert len(set(hook.ids())) == len(hook.got) == 2


async def test_who_could_not_be_told_is_told_again_under_the_same_id(
    passed: Life, hook: Hook
) -> None:
    hook.statuses = [503, 503]
    with capture_logs() as logs:
        await alerter(passed, hook.url).visit()
        waiting = await untold(passed)
        assert [(row.told, row.tries) for row in waiting] == [(["log"], 1), (["log"], 1)]
        await alerter(passed, hook.url).visit()
        assert len(hook.got) == 2
        await run(passed, "UPDATE budget_alerts SET next_at = now()")
        await alerter(passed, hook.url).visit()
    assert hook.ids()[:2] == hook.ids()[2:]
    assert await untold(passed) == []
    assert len([line for line in logs if line["event"] == "budget_alert"]) == 2
    assert {line["detail"] for line in logs if line["event"] == "alert_not_told"} == {
        "it answered with status 503"
    }


async def test_after_a_day_it_is_given_up(passed: Life, hook: Hook) -> None:
    hook.statuses = [500, 500]
    await run(passed, "UPDATE budget_alerts SET at = now() - interval '25 hours'")
    with capture_logs() as logs:
        await alerter(passed, hook.url).visit()
    assert [line["event"] for line in logs].count("alert_given_up") == 2
    async with passed.database.transaction() as connection:
        assert await claim_alerts(connection, seconds=1, limit=9) == []
    assert len(await untold(passed)) == 2


async def test_an_address_inside_is_called_only_where_the_operator_allows_it(
    passed: Life, hook: Hook
) -> None:
    inside = "https://127.0.0.1/hook"
    with capture_logs() as logs:
        await alerter(passed, inside, allow_private=False).visit()
    assert hook.got == []
    assert "its address is not on the public internet" in {line.get("detail") for line in logs}
    assert len(await untold(passed)) == 2


async def test_without_a_hook_the_log_is_enough(passed: Life) -> None:
    await alerter(passed, None).visit()
    assert await untold(passed) == []


def test_pauses_grow_and_come_to_an_end() -> None:
    assert FIRST_PAUSE * 0.8 <= pause(1) <= FIRST_PAUSE * 1.2
    assert pause(1000) <= LONGEST_PAUSE * 1.2


def test_a_signature_is_that_of_the_standard() -> None:
    headers = signed_headers(
        [SecretStr(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url": "https://hooks.example"}, "a url needs a secret"),
        ({"secret": "hunter2"}, "it is not whsec_"),
        ({"secret": "whsec_c2hvcnQ="}, "it is not whsec_"),
        ({"url": "ftp://hooks.example", "secret": SECRET}, "must begin with"),
    ],
)
def test_a_setting_that_cannot_work_is_told_and_no_secret_with_it(
    values: dict[str, str], said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        AlertSettings.model_validate(values)
    assert "hunter2" not in str(refused.value.errors(include_input=False))
