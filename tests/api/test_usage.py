"""Usage over HTTP: exact sums of one's own calls, clear refusals, and what would cost less."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.usage.schemas import UsageQuery
from shared.db.rollup import BEGINS, begin
from shared.domain.clock import SystemClock
from shared.domain.usage import Dimension
from shared.security.keys import Scope
from tests.api.conftest import ROOT, Api, hire, make_key
from tests.environment import FROM_OUTSIDE

TODAY = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = TODAY - timedelta(days=1)
USAGE = "/api/v1/usage"
FROM_HERE = {name: os.environ[name] for name in FROM_OUTSIDE if name in os.environ}
ADD = """
INSERT INTO usage_{grain}s (at, tenant_id, words, project, key_id, tags, provider, model, route,
    outcome, calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
    reasoning_tokens, cost_nano, saved_nano, latencies)
SELECT date_trunc('{grain}', %s::timestamptz, 'UTC'), id, gen_random_uuid(), '', '', '{{}}',
    %s, %s, %s, %s, %s, %s, %s, 0, %s, 0, %s, %s, '{{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,10}}'
FROM tenants WHERE name = %s
"""


def add(api: Api, deployment: str, cost: int, at: datetime = YESTERDAY, **given: Any) -> None:
    """Calls of one minute, in all sums."""
    provider, model = deployment.split("/")
    row = {
        "route": model, "outcome": "answered", "calls": 10, "input": 1_000_000, "cached": 0,
        "output": 0, "saved": 0, "tenant": "one", **given,
    }  # fmt: skip
    for grain in BEGINS:
        api.sql(
            ADD.format(grain=grain), begin(at, grain), provider, model, row["route"],
            row["outcome"], row["calls"], row["input"], row["cached"], row["output"], cost,
            row["saved"], row["tenant"],
        )  # fmt: skip


@pytest.fixture(autouse=True)
def emptied(api: Api) -> None:
    api.sql("TRUNCATE usage_minutes, usage_hours, usage_days")


def asked(api: Api, key: str | None = None, path: str = USAGE, **params: Any) -> Any:
    with api.client(key) as client:
        reply = client.get(path, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()


def refused(api: Api, key: str | None = None, **params: Any) -> tuple[int, str | None]:
    with api.client(key) as client:
        reply = client.get(USAGE, params=params)
    return reply.status_code, reply.json()["error"]["field"]


def test_the_sums_of_ones_own_calls_by_model_and_day(api: Api) -> None:
    add(api, "openai/gpt-4.1-mini", 400_000_000, cached=500, output=70, saved=9)
    add(api, "openai/gpt-4.1-mini", 0, outcome="refused:auth", calls=10)
    add(api, "openai/gpt-4.1", 2, at=TODAY)
    add(api, "openai/gpt-4.1", 64, tenant="two")
    add(api, "simulator/gpt-4.1", 128, route="rehearsal:gpt-4.1")
    body = asked(api, group_by="model,outcome")
    assert (body["from"], body["to"]) == (
        f"{TODAY - timedelta(days=6):%Y-%m-%dT00:00:00Z}",
        f"{TODAY + timedelta(days=1):%Y-%m-%dT00:00:00Z}",
    )
    first, second, third = body["data"]
    assert first["group"] == {"model": "gpt-4.1-mini", "outcome": "answered"}
    assert first["cost"] == {"nano_usd": 400_000_000, "usd": "0.4", "unknown": False}
    assert first["tokens"] == {
        "input": 1_000_000, "cached": 500, "cache_write": 0, "output": 70, "reasoning": 0,
    }  # fmt: skip
    assert first["saved"]["nano_usd"] == 9
    assert 128 <= first["latency_ms"]["p50"] <= 182
    assert second["group"]["outcome"] == "refused:auth"
    assert (third["at"], third["cost"]["nano_usd"]) == (f"{TODAY:%Y-%m-%dT00:00:00Z}", 2)
    [total] = asked(api, every="total")["data"]
    assert (total["calls"], total["answered"], total["error_rate"]) == (30, 20, 0.333333)
    [rehearsed] = asked(api, every="total", rehearsals=True)["data"]
    assert rehearsed["cost"]["nano_usd"] == 128


def test_a_list_goes_on_with_its_cursor(api: Api) -> None:
    for n in range(5):
        add(api, "openai/gpt-4.1", 1, at=TODAY - timedelta(days=n))
    found, after = [], None
    for _ in range(3):
        page = asked(api, limit=2, group_by="model", **({"after": after} if after else {}))
        found += [row["at"] for row in page["data"]]
        after = page["next"]
    assert after is None
    assert found == sorted(found)
    assert len(found) == 5


async def test_only_an_operator_sees_others(api: Api) -> None:
    add(api, "openai/gpt-4.1", 1)
    add(api, "openai/gpt-4.1", 2, tenant="two")
    assert refused(api, tenant="two")[0] == 403
    operator = await make_key(api.database_url, "one", Scope.OPERATOR)
    rows = asked(api, operator, every="total", group_by="tenant", tenant="*")["data"]
    assert {row["group"]["tenant"]: row["cost"]["nano_usd"] for row in rows} == {"one": 1, "two": 2}
    [other] = asked(api, operator, every="total", tenant="two")["data"]
    assert other["cost"]["nano_usd"] == 2
    assert refused(api, operator, tenant="nobody")[0] == 404
    assert refused(api, operator)[0] == 403, "its own calls are read with jobs:read"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"every": "fortnight"}, "every"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"group_by": "model,colour"}, "group_by"),
        ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "to"),
        ({"from": "2026-03-02T00:00:00"}, "from"),
        ({"after": "bm90aGluZw"}, "after"),
        ({"after": "WyIyMDI2LTAxLTAxIiwgIlx1MDAwMCJd", "group_by": "model"}, "after"),
        ({"limit": 0}, "limit"),
        ({"from": "2001-01-01T00:00:00Z", "every": "minute"}, "from"),
        ({"from": "2001-01-01T00:00:00Z", "time_zone": "Asia/Kathmandu"}, "from"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_refusal_names_the_field(api: Api, params: dict[str, Any], field: str) -> None:
    assert refused(api, **params) == (400, field)


def test_days_are_told_however_old_they_are(api: Api) -> None:
    add(api, "openai/gpt-4.1", 5, at=datetime(2001, 5, 5, tzinfo=UTC))
    [month] = asked(api, **{"from": "2001-01-01T00:00:00Z"}, every="month")["data"]
    assert (month["at"], month["cost"]["nano_usd"]) == ("2001-05-01T00:00:00Z", 5)


def test_savings_compare_with_what_could_have_been_called(api: Api) -> None:
    hire(api, "openai", vertex="VERTEX_PROJECT is not set")
    hire(api, "azure", name="wrk_2")
    add(api, "openai/gpt-4.1", 1_400_000_000, cached=400_000, saved=600_000_000)
    add(api, "openai/gpt-4.1-mini", 500_000_000)
    add(api, "openai/gpt-4.1-mini", 0, outcome="unknown")
    add(api, "gemini/gemini-2.5-pro", 300_000_000_000)
    body = asked(api, path=f"{USAGE}/savings")
    pro, dear, low = body["data"]
    assert pro["same_model"] is None, "no worker can call it at Vertex"
    assert (dear["deployment"], dear["same_model"]) == ("openai/gpt-4.1", None)
    # 600,000 new tokens at 0.4 and 400,000 cached ones at 0.1 USD a million.
    assert dear["other_model"]["deployment"] == "openai/gpt-4.1-mini"
    assert dear["other_model"]["cost"]["nano_usd"] == 280_000_000
    assert dear["other_model"]["saves"]["nano_usd"] == 1_120_000_000
    assert dear["caching"]["saved"]["nano_usd"] == 600_000_000
    # 600,000 tokens at 2 - 0.5 USD a million.
    assert dear["caching"]["at_most"]["nano_usd"] == 900_000_000
    assert low["same_model"] == {
        "deployment": "azure/gpt-4.1-mini",
        "cost": {"nano_usd": 400_000_000, "usd": "0.4", "unknown": False},
        "saves": {"nano_usd": 100_000_000, "usd": "0.1", "unknown": False},
    }
    assert low["calls"] == 10
    assert body["same_model"]["nano_usd"] == 100_000_000
    assert len(body["assumptions"]) > 5


def word(api: Api, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`promptmill usage` of the first tenant."""
    environ = {**FROM_HERE, "PROMPTMILL_URL": api.url, "PROMPTMILL_KEY": api.key}
    return subprocess.run(
        [sys.executable, "-m", "cli", "usage", *arguments],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_word_shows_a_table_with_bars(api: Api) -> None:
    add(api, "openai/gpt-4.1", 2_000_000_000, saved=5)
    add(api, "openai/gpt-4.1-mini", 500_000_000)
    shown = word(api, "--by", "model", "--last", "3d")
    header, dear, low, _, total = shown.stdout.splitlines()
    assert header.split()[:3] == ["DAY", "MODEL", "CALLS"]
    assert dear.split()[:2] == [f"{YESTERDAY:%Y-%m-%d}", "gpt-4.1"]
    assert (dear.count("█"), low.count("█")) == (24, 6)
    assert total == "20 calls, 20 answered, $2.50; caches saved $0.000000005"


def test_the_word_speaks_json_csv_and_of_savings(api: Api) -> None:
    hire(api, "openai")
    add(api, "openai/gpt-4.1", 2_000_000_000)
    add(api, "openai/gpt-4.1-mini", 400_000_000)
    only = ("--every", "total", "--where", "model=gpt-4.1")
    row = json.loads(word(api, *only, "--json").stdout)
    assert (row["calls"], row["cost"]["usd"]) == (10, "2")
    header, line = word(api, *only, "--by", "provider", "--csv").stdout.splitlines()
    assert header.startswith("at,provider,calls,answered,error_rate,input_tokens,")
    assert dict(zip(header.split(","), line.split(","), strict=True))["cost_usd"] == "2"
    told = word(api, "--savings").stdout
    assert "openai/gpt-4.1-mini saves $1.60" in told
    assert "Only answered calls are compared" in told


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--last", "soon"), "--last soon"),
        (("--last", "7d", "--from", "2026-03-01"), "leave --from and --to out"),
        (("--from", "tomorrow"), "--from tomorrow"),
        (("--by", "colour"), "--by colour"),
        (("--where", "colour=red"), "--where colour=red"),
        (("--savings", "--csv"), "--savings"),
        (("--every", "fortnight"), "every"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(
    api: Api, given: tuple[str, ...], said: str
) -> None:
    refused = word(api, *given)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_table_of_parameters_is_that_of_the_query() -> None:
    paper = (ROOT / "docs" / "money.md").read_text().split("## Usage")[1]
    rows = paper.split("| parameter | says |\n")[1].split("\n\n")[0].splitlines()[1:]
    told = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])]
    real = [field.alias or name for name, field in UsageQuery.model_fields.items()]
    assert sorted(told) == sorted(real)
    groups = re.findall(r"`([a-z]+)`", next(row for row in rows if "`group_by`" in row))
    assert set(groups) - {"group_by"} == set(Dimension)
