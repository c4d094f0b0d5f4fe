"""A simulator as a process of its own, as every user of it starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletion

from simulator.ledger import LedgerLine, read_ledger

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "simulator"]
MODEL = "gpt-4.1-mini"
START_SECONDS = 15.0
DEADLINE_SECONDS = 10.0
PLAIN: Any = {"trust_env": False, "verify": False}
"""Loopback needs no proxy and no certificates, which take long to load."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator, its ledger and the ways to ask it."""

    process: subprocess.Popen[str]
    url: str
    ledger_path: Path

    def client(self, api_key: str = "sk-test") -> AsyncOpenAI:
        return AsyncOpenAI(
            api_key=api_key,
            base_url=f"{self.url}/v1",
            max_retries=0,
            timeout=DEADLINE_SECONDS,
            http_client=DefaultAsyncHttpxClient(**PLAIN),
        )

    async def ask(self, prompt: str = "Why tea?", **options: Any) -> ChatCompletion:
        """One answer by the real SDK."""
        async with self.client() as client:
            return await ask(client, prompt, **options)

    async def script(self, *rules: dict[str, Any]) -> None:
        await self.post("script", list(rules))

    async def limit(self, **limits: Any) -> None:
        await self.post("limits", limits)

    async def post(self, name: str, value: Any) -> Any:
        async with httpx2.AsyncClient(**PLAIN) as client:
            reply = await client.post(f"{self.url}/_sim/{name}", json=value)
            reply.raise_for_status()
            return reply.json()

    async def stats(self) -> dict[str, Any]:
        async with httpx2.AsyncClient(**PLAIN) as client:
            stats: dict[str, Any] = (await client.get(f"{self.url}/_sim/stats")).json()
            return stats

    def ledger(self) -> list[LedgerLine]:
        return read_ledger(self.ledger_path)

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait; the exit status."""
        os.kill(self.process.pid, number)
        return self.process.wait(DEADLINE_SECONDS)


async def ask(client: AsyncOpenAI, prompt: str, **options: Any) -> ChatCompletion:
    options = {"model": MODEL, "max_completion_tokens": 50, **options}
    answer: ChatCompletion = await client.chat.completions.create(
        messages=[{"role": "user", "content": prompt}], **options
    )
    return answer


@contextmanager
def running_simulator(folder: Path, **options: Any) -> Iterator[Simulator]:
    """A simulator that answers at once, unless the options say otherwise."""
    ledger, ready = folder / "ledger.jsonl", folder / "url"
    ready.unlink(missing_ok=True)
    options = {"latency_ms": 0, "ledger": ledger, "ready_file": ready, **options}
    flags = [
        part
        for name, value in options.items()
        for part in ("--" + name.replace("_", "-"), str(value))
    ]
    process = subprocess.Popen([*COMMAND, *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("simulator ready on http://127.0.0.1:"), line
        yield Simulator(process, line.removeprefix("simulator ready on ").strip(), ledger)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def refusal(*flags: str) -> str:
    """What a simulator that cannot start says."""
    done = subprocess.run(
        [*COMMAND, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 2, done
    return done.stderr


def written(folder: Path, rules: Any) -> Path:
    """A script file."""
    path = folder / "script.json"
    path.write_text(json.dumps(rules))
    return path


async def until(condition: Any) -> None:
    """Poll an async condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "the condition never came true"
