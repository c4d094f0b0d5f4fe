"""The words of docker-compose.yml and of the image's entry, run for real but for the engine."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from cli.stack.account import OURSELVES, Account, can_run
from cli.stack.servers import Servers
from cli.stack.valkey import free_port
from tests.api.conftest import job_body
from tests.deploy.composition import composed, make_env
from tests.deploy.containers import PYTHON, Containers, Image, copy

LISTENING = ("api", "simulator", "flower")
ORDERLY = {0, -15}
"""Ended by itself, or by the signal after everything was closed."""


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Readable by everybody, as in a container."""
    folder = Path(tempfile.mkdtemp(prefix="promptmill-image-"))
    try:
        image = Image(folder)
        image.build()
        folder.chmod(0o755)
        yield image
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = composed(make_env(tmp_path_factory.mktemp("env")))["services"]
    return found


@pytest.fixture
def empty_database(servers: Servers) -> Iterator[str]:
    yield servers.create_database("deployed")
    servers.drop_database("deployed")


@pytest.fixture
def ports() -> dict[str, int]:
    return {name: free_port() for name in LISTENING}


@pytest.fixture
def containers(
    image: Image,
    services: dict[str, Any],
    empty_database: str,
    redis_url: str,
    ports: dict[str, int],
) -> Iterator[Containers]:
    sockets = parse_qs(urlsplit(empty_database).query)["host"][0]
    replaced = {
        "DATABASE_URL": empty_database.replace("+psycopg", ""),
        "REDIS_URL": redis_url,
        "PROMPTMILL_CATALOG": str(image.folder / "deploy" / "catalog.toml"),
        "PROMPTMILL_SIMULATOR_URL": f"http://127.0.0.1:{ports['simulator']}",
        "FLOWER_ADDRESS": "127.0.0.1",
        "FLOWER_PORT": str(ports["flower"]),
    }
    copy(["deploy/catalog.toml", "deploy/"], image.folder)
    found = Containers(image, services, ordinary_account(Path(sockets)), replaced)
    yield found
    found.end()


def ordinary_account(sockets: Path) -> Account:
    """Whoever may use the database's socket; ourselves where that one cannot run our Python."""
    facts = sockets.stat()
    account = Account(facts.st_uid, facts.st_gid)
    if os.geteuid() == 0 and can_run(account, PYTHON, "-c", ""):
        return account
    return OURSELVES


@pytest.mark.timeout(300)
def test_the_image_answers_a_job_and_every_process_leaves_in_time(
    containers: Containers, ports: dict[str, int]
) -> None:
    migrated = containers.run("migrate")
    assert (migrated.returncode, migrated.stdout) == (0, "the schema is up to date\n"), (
        migrated.stderr
    )
    for name in ("simulator", "api"):
        containers.start(name, "--host", "127.0.0.1", "--port", str(ports[name]))
    assert containers.check("worker").returncode == 1
    for name in ("worker", "isolated", "flower"):
        containers.start(name)
    for name in containers.processes:
        containers.becomes_healthy(name, ports.get(name))

    tenant = containers.run("cli", "tenants", "create", "one")
    assert tenant.returncode == 0, tenant.stderr
    job = answered_job(ports["api"], tenant.stdout.strip())
    assert (job["state"], job["result"] is not None) == ("succeeded", True)
    told = containers.environ("worker")
    secrets = [told[name].encode() for name in ("DATABASE_URL", "REDIS_URL", "PROMPTMILL_PEPPER")]
    for process in containers.processes.values():
        argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert not any(secret in argv for secret in secrets)

    for name in ("api", "worker", "isolated", "flower", "simulator"):
        assert containers.stop(name, within=20) in ORDERLY, containers.log(name).read_text()
    gone = containers.check("worker")
    assert (gone.returncode, gone.stderr) == (
        1, "lease: no living worker of this host holds a lease\n",
    )  # fmt: skip
    assert containers.check("api", ports["api"]).returncode == 1


def answered_job(port: int, key: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=40) as client:
        assert client.get("/readyz").json()["status"] == "ok"
        accepted = client.post("/api/v1/jobs", json=job_body(rehearse=True))
        assert accepted.status_code == 202, accepted.text
        path = f"/api/v1/jobs/{accepted.json()['id']}"
        return dict(client.get(path, params={"wait": 30}).raise_for_status().json())
