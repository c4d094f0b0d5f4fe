"""A process that cannot run as it is configured says everything that is wrong, and ends with 2."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from shared.configuration import read_configuration
from shared.domain.errors import ConfigurationError
from shared.settings import unknown_variables
from tests.environment import environment
from tests.house.test_papers import BESIDE_SETTINGS, VARIABLE

ROOT: Final = Path(__file__).parents[2]
DATABASE: Final = "postgresql://mill:hunter2@127.0.0.1:1/mill"
REDIS: Final = "redis://127.0.0.1:1/0"
ENTRIES: Final = {
    "api": ["uvicorn", "api.main:create", "--factory", "--port", "0"],
    "worker": ["celery", "-q", "-A", "worker.main", "worker", "-P", "custom"],
}
BROKEN: Final = {
    "DATABASE_URL": "mysql://mill:hunter2@db/mill",
    "REDIS_URL": "redis://",
    "PROMPTMILL_PEPPER": "short",
    "PROMPTMILL_LEASE__TTL": "soon",
    "PROMPTMILL_LEASE__TLL": "4",
    "PROMPTMILL_LOG_LEVEL": "LOUD",
    "PROMPTMILL_SIMULATOR_URL": "127.0.0.1:80",
    "PROMPTMILL_RETENTION__JOB_DAYS": "-1",
    "PROMPTMILL_CATALOG": "/nowhere/catalog.toml",
    "PROMPTMILL_WORKERR__DRAIN": "3",
    "OPENAI_API_KEY": "sk-half another",
}


def start(house: str, **changes: str) -> subprocess.CompletedProcess[str]:
    pool = {"CELERY_CUSTOM_WORKER_POOL": "worker.pool:AsyncioPool"}
    return subprocess.run(
        [sys.executable, "-m", *ENTRIES[house]],
        cwd=ROOT,
        env=environment(DATABASE, REDIS, **{**pool, **changes}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("house", ENTRIES)
def test_every_problem_is_told_at_once_a_line_each_and_the_exit_code_is_2(house: str) -> None:
    ended = start(house, **BROKEN)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 2, ended.stderr
    assert len(lines) == 1 + len(BROKEN), ended.stderr
    for variable in BROKEN:
        assert sum(line.startswith(f"  {variable}") for line in lines) == 1, variable
    assert "did you mean PROMPTMILL_LEASE__TTL?" in ended.stderr
    assert "did you mean PROMPTMILL_WORKER__DRAIN?" in ended.stderr
    for secret in ("hunter2", "sk-half", "Traceback"):
        assert secret not in ended.stderr


def test_an_unknown_variable_alone_is_warned_of_with_a_near_match() -> None:
    ended = start("api", PROMPTMILL_LOG_LEVL="DEBUG", PROMPTMILL_API__MAX_WAIT="-1")
    assert "PROMPTMILL_LOG_LEVL: nobody reads it (a warning only)" in ended.stderr


def test_what_is_only_unknown_does_not_keep_a_process_from_starting(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(DATABASE, REDIS, PROMPTMILL_LOG_LEVL="DEBUG").items():
        monkeypatch.setenv(name, value)
    script = "from shared.configuration import read_configuration as r; r()"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)
    warnings = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    told = {each["variable"]: each["near"] for each in warnings}
    assert told["PROMPTMILL_LOG_LEVL"] == "PROMPTMILL_LOG_LEVEL"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgresql:///mill?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql+psycopg://mill@db.example:5432/mill"),
        ("REDIS_URL", "rediss://:word@redis.example:6380/1"),
        ("PROMPTMILL_SIMULATOR_URL", "http://127.0.0.1:8001"),
        ("PROMPTMILL_RETENTION__PAYLOAD_DAYS", "0.5"),
    ],
)
def test_a_good_value_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str
) -> None:
    configure(monkeypatch, tmp_path, {variable: value})
    assert read_configuration().settings.lease.ttl == 30


def test_a_model_without_a_price_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overlay = tmp_path / "catalog.toml"
    row = '[models.{}]\ncontext_window = 8000\nprovider = "openai"\n'
    overlay.write_text(row.format("free") + "prices = {}\n" + row.format("house"))
    configure(monkeypatch, tmp_path, {"PROMPTMILL_CATALOG": str(overlay)})
    with pytest.raises(ConfigurationError) as caught:
        read_configuration()
    assert caught.value.message == (
        "models.house: no price of 'openai' is known for model 'house': "
        "set its price_model or its prices in the catalog, or the provider's price_provider"
    )


def test_a_route_that_leads_nowhere_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overlay = tmp_path / "catalog.toml"
    overlay.write_text('[routes.team]\ncandidates = ["gpt-44"]\n[routes.idle]\nmax_tries = 2\n')
    configure(monkeypatch, tmp_path, {"PROMPTMILL_CATALOG": str(overlay)})
    with pytest.raises(ConfigurationError) as caught:
        read_configuration()
    assert [line.partition(":")[0] for line in caught.value.message.splitlines()] == [
        "routes.team.candidates[0]",
        "routes.idle",
    ]


def test_the_catalog_is_checked_even_when_settings_are_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overlay = tmp_path / "catalog.toml"
    overlay.write_text("[limits.nobody]\nrequests = 5\n")
    configure(monkeypatch, tmp_path, {"PROMPTMILL_CATALOG": str(overlay), "REDIS_URL": "x"})
    with pytest.raises(ConfigurationError) as caught:
        read_configuration()
    assert [line.partition(":")[0] for line in caught.value.message.splitlines()] == [
        "REDIS_URL",
        str(overlay),
    ]


def test_every_variable_of_the_template_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    named = VARIABLE.findall((ROOT / ".env.template").read_text())
    ours = {each for each in {*named, *BESIDE_SETTINGS} if each.startswith("PROMPTMILL_")}
    assert ours
    before = unknown_variables()
    for name in ours:
        monkeypatch.setenv(name, "x")
    assert unknown_variables() == before


def configure(monkeypatch: pytest.MonkeyPatch, folder: Path, changes: dict[str, str]) -> None:
    """This process's own environment, as a process's would be."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("shared.configuration.configure_logs", lambda *_: None)
    for name, value in {**environment(DATABASE, REDIS), **changes}.items():
        monkeypatch.setenv(name, value)
