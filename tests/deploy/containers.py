"""The image without an engine: its files and its words, under an account that may write nothing."""

import os
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.stack.account import Account
from tests.deploy.composition import BIN, ENTRYPOINT, ROOT

PYTHON = BIN / "python"
STAGE = re.compile(r"^FROM .* AS (\w+)$", re.MULTILINE)


@dataclass
class Image:
    """What deploy/Dockerfile would make, in a folder."""

    folder: Path

    @property
    def entrypoint(self) -> Path:
        return self.folder / "deploy" / "entrypoint.sh"

    def build(self) -> None:
        """The builder's COPY and `pip install` lines; the dependencies are those of our venv."""
        source = self.folder / "build"
        for words in instructions("builder", "COPY"):
            copy(words, source)
        [install] = [words for words in instructions("builder", "RUN") if "--no-deps" in words]
        pip = [str(PYTHON), "-m", *install[: install.index("&&")]]
        target = ["--no-index", "-q", "--target", str(self.folder / "site")]
        subprocess.run([*pip, *target], cwd=source, check=True, capture_output=True, timeout=120)
        [scripts] = [words for words in instructions("runtime", "COPY") if words[0][:2] != "--"]
        copy([*scripts[:-1], "deploy/"], self.folder)

    @property
    def environ(self) -> dict[str, str]:
        """The image's ENV; its venv becomes a folder of modules over ours."""
        words = [word for line in instructions("runtime", "ENV") for word in line]
        given = dict(word.split("=", 1) for word in words)
        path = f"{self.folder / 'site' / 'bin'}:{BIN}:{os.environ['PATH']}"
        return {**given, "PATH": path, "PYTHONPATH": str(self.folder / "site")}

    def argv(self, words: list[str]) -> list[str]:
        """These words of the composition, where the image stands here."""
        return [str(self.entrypoint) if word == ENTRYPOINT else word for word in words]


def copy(words: list[str], folder: Path) -> None:
    """As COPY does: into a folder if the last word ends like one, else under that name."""
    *copied, target = words
    for each in copied:
        place = folder / target / Path(each).name if target.endswith("/") else folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / each).is_dir():
            shutil.copytree(ROOT / each, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / each, place)


def instructions(stage: str, name: str) -> list[list[str]]:
    """The words of each such instruction of a stage of deploy/Dockerfile, options left out."""
    text = re.sub(r"\\\n", " ", (ROOT / "deploy" / "Dockerfile").read_text())
    _, *parts = STAGE.split(text)
    body = dict(zip(parts[::2], parts[1::2], strict=True))[stage]
    lines = re.findall(rf"^{name} (.*)$", body, re.MULTILINE)
    options = re.compile(r"^(--chmod=\S+ )")
    return [shlex.split(options.sub("", line)) for line in lines]


@dataclass
class Containers:
    """Processes of an image as docker-compose.yml starts them."""

    image: Image
    services: dict[str, Any]
    account: Account
    replaced: dict[str, str]
    """Values of variables that name what stands elsewhere here."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environ(self, service: str) -> dict[str, str]:
        """The variables that the container would have."""
        told = {k: v for k, v in (self.services[service].get("environment") or {}).items() if v}
        told |= {
            name: value for name, value in self.replaced.items() if name in self._names(service)
        }
        return {**self.image.environ, **told}

    def run(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A service that ends by itself, perhaps with a command in place of its own."""
        return self._run(service, self._words(service, command))

    def start(self, service: str, *more: str) -> None:
        """A service that runs on; `more` comes after its words."""
        with self.log(service).open("wb") as log:
            self.processes[service] = subprocess.Popen(
                self.image.argv([*self._words(service), *more]),
                env=self.environ(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.image.folder,
                **self.account.popen_options(),
            )

    def check(self, service: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
        """Its health check; `port` is where its own port stands here."""
        kind, *words = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        if port is not None:
            words[-1] = re.sub(r"^\d+", str(port), words[-1])
        return self._run(service, words)

    def becomes_healthy(self, service: str, port: int | None = None) -> None:
        """Wait for its health check; its log is told when it never passes."""
        process, deadline = self.processes[service], time.monotonic() + 60
        while (found := self.check(service, port)).returncode != 0:
            log = self.log(service).read_text()[-2000:]
            assert process.poll() is None, f"{service} ended:\n{log}"
            assert time.monotonic() < deadline, f"{service}: {found.stderr}\n{log}"
            time.sleep(0.5)

    def stop(self, service: str, within: float) -> int:
        """What `docker stop` would see; its exit code."""
        self.processes[service].terminate()
        return self.processes[service].wait(within)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def log(self, service: str) -> Path:
        return self.image.folder / f"{service}.log"

    def _names(self, service: str) -> set[str]:
        return set(self.services[service].get("environment") or {})

    def _words(self, service: str, command: tuple[str, ...] = ()) -> list[str]:
        described = self.services[service]
        return [*(described["entrypoint"] or [ENTRYPOINT]), *(command or described["command"])]

    def _run(self, service: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.image.argv(words),
            env=self.environ(service),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.image.folder,
            **self.account.popen_options(),
        )
