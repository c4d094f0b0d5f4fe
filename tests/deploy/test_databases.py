"""The words of docker-compose.yml for both databases, tried on the servers that tests run on."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cli.stack.account import choose_account, run_as
from cli.stack.bin_cache import runnable_postgres
from cli.stack.binaries import find_postgres, find_valkey
from cli.stack.options import read_options
from cli.stack.valkey import free_port
from tests.api.conftest import eventually
from tests.deploy.composition import ROOT, composed, make_env

WHERE = {"dir": "/data", "bind": "* -::*"}
"""Lines of deploy/valkey.conf that say where, and stand elsewhere here."""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = composed(make_env(tmp_path_factory.mktemp("env")))["services"]
    return found


@pytest.fixture
def valkey(
    services: dict[str, Any], tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The broker's process as its service starts it, and its port."""
    service, port, conf = services["redis"], free_port(), tmp_path / "valkey.conf"
    here = {"dir": str(tmp_path), "bind": "127.0.0.1"}
    text = (ROOT / "deploy" / "valkey.conf").read_text()
    for name, value in WHERE.items():
        assert f"\n{name} {value}\n" in text
        text = text.replace(f"\n{name} {value}\n", f"\n{name} {here[name]}\n")
    conf.write_text(f"{text}port {port}\n")
    (tmp_path / "valkey-server").symlink_to(find_valkey(read_options({})))
    words = [*service["entrypoint"], *service["command"]]
    process = subprocess.Popen(
        # Compose writes a dollar that it leaves alone twice.
        [word.replace("$$", "$").replace("/etc/valkey/valkey.conf", str(conf)) for word in words],
        env={**service["environment"], "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
    )
    yield process, port
    process.kill()
    process.wait()


def test_the_broker_asks_for_its_password_and_shows_it_to_nobody(
    valkey: tuple[subprocess.Popen[bytes], int], services: dict[str, Any]
) -> None:
    process, port = valkey
    password = services["redis"]["environment"]["REDIS_PASSWORD"]

    def refuses() -> bool:
        try:
            redis.Redis(port=port).ping()
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            assert process.poll() is None
        return False

    eventually(refuses, "the broker refuses whoever has no password")
    with redis.Redis(port=port, password=password, decode_responses=True) as client:
        assert client.ping()
        told = {**client.config_get("maxmemory-policy"), **client.config_get("append*")}
    assert told["maxmemory-policy"] == "noeviction"
    assert (told["appendonly"], told["appendfsync"]) == ("yes", "everysec")
    argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert argv.startswith(b"valkey-server ")
    assert password.encode() not in argv
    process.terminate()
    assert process.wait(10) == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the server's account can enter."""
    path = Path(tempfile.mkdtemp(prefix="promptmill-data-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def test_postgres_takes_its_options_and_trusts_nobody(
    services: dict[str, Any], folder: Path
) -> None:
    service = services["postgres"]
    account = choose_account(folder)
    binaries = runnable_postgres(find_postgres(read_options({})), account, folder / "bin-cache")
    secret = folder / "password"
    secret.write_text(service["environment"]["POSTGRES_PASSWORD"])
    account.give_file(secret)
    account.give(folder / "own")
    data = folder / "own" / "data"
    # As the image's entry does: the password by a file, the user by a word.
    options = shlex.split(service["environment"]["POSTGRES_INITDB_ARGS"])
    user = ["-U", service["environment"]["POSTGRES_USER"], f"--pwfile={secret}"]
    run_as(account, [str(binaries.initdb), "-D", str(data), *user, *options, "--no-sync"])
    access = run_as(account, ["/bin/cat", str(data / "pg_hba.conf")]).splitlines()
    methods = {line.split()[-1] for line in access if line and not line.startswith("#")}
    assert methods == {"scram-sha-256"}

    name, *options = service["command"]
    assert name == "postgres"
    for setting in options:
        variable, value = setting.removeprefix("-c").split("=")
        asked = [str(binaries.postgres), *options, "-D", str(data), "-C", variable]
        assert run_as(account, asked).strip() in {value, shown(value)}, variable


def shown(value: str) -> str:
    """A size as `postgres -C` tells it: in the setting's own unit."""
    in_unit = {"512MB": str(512 * 1024 // 8), "4GB": str(4 * 1024)}
    return in_unit.get(value, value)
