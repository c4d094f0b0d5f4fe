"""What the face of OpenAI's API adds to a call, at a steady rate, and what another gateway adds."""

import asyncio
import os
import random
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import monotonic
from typing import Any, Final

import aiohttp
import orjson

from bench.figures import Part
from bench.idle import MS, SLOTS
from bench.processes import cpu_seconds, kill_family
from bench.sizes import Size
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from tests.api.conftest import make_key
from tests.mill import MAX_TOKENS, MODEL, ROOT, eventually

RATES: Final = (50, 250)
"""Requests a second."""
LATENCY: Final = {"latency-ms": 200, "latency-spread": 0}
WARM: Final = 30
LONGEST: Final = 60
THEIRS: Final = Path(".venv-rivals/bin/litellm")
"""`make rivals` makes it."""
THEIR_KEY: Final = "sk-of-the-bench"
SETTINGS: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MASTER_KEY": THEIR_KEY,
}
ABSENT: Final = "not installed: make rivals"
DIRECT: Final = "the simulator called directly"
MILL: Final = "Promptmill"
RIVAL: Final = "LiteLLM proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One place that takes a chat, and the processes that serve it."""

    url: str
    headers: Mapping[str, str]
    extra: Mapping[str, Any]
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of the requests of one rate."""

    milliseconds: list[float]
    failed: int
    cpu: float
    """Milliseconds of CPU a request, of all its processes."""


async def gateway(servers: Servers, size: Size) -> Part:
    """The same chats to the simulator, through the mill and through the other, in turn."""
    part = Part(
        f"A chat through a gateway, {size.gateway_seconds:g} s at a steady rate: what it adds, ms",
        ["way", "requests/s", "p50", "p95", "p99", "failed", "CPU ms each"],
    )
    async with stage(servers) as on:
        await on.mill.start_simulator(**LATENCY)
        async with _ways(on) as ways:
            for rate in RATES:
                bases = await _offer(ways[DIRECT], rate, size.gateway_seconds)
                part.rows.append(_row(DIRECT, rate, bases, 0.0))
                for name in (MILL, RIVAL):
                    if name not in ways:
                        part.rows.append([name, rate, *["-"] * 4, ABSENT])
                        continue
                    found = await _offer(ways[name], rate, size.gateway_seconds)
                    base = median(bases.milliseconds)
                    part.rows.append(_row(name, rate, found, base))
                    part.figures[f"{name} p50 at {rate}/s"] = median(found.milliseconds) - base
    return part


@asynccontextmanager
async def _ways(on: Stage) -> AsyncIterator[dict[str, Way]]:
    key = await make_key(on.mill.environ["DATABASE_URL"], "bench")
    (api, url), worker = await asyncio.gather(on.start_api(), on.start_worker(SLOTS))
    mill = Way(
        url=url,
        headers={"authorization": f"Bearer {key}"},
        extra={"promptmill": {"rehearse": True}},
        pids=(api.pid, worker.pid, *on.base.values()),
    )
    nobody = {"authorization": "Bearer none"}
    direct = Way(url=on.mill.simulator_url, headers=nobody, extra={}, pids=())
    ways = {DIRECT: direct, MILL: mill}
    if not (ROOT / THEIRS).exists():
        yield ways
        return
    async with _rival(on.mill.simulator_url) as rival:
        yield {**ways, RIVAL: rival}


@asynccontextmanager
async def _rival(simulator_url: str) -> AsyncIterator[Way]:
    """One process of it, without a database, as its own benchmarks have it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with _rival_process(simulator_url, port) as pid:
        await eventually("the other gateway answers", lambda: _answers(url), within=LONGEST)
        key = {"authorization": f"Bearer {THEIR_KEY}"}
        yield Way(url=url, headers=key, extra={}, pids=(pid,))


@contextmanager
def _rival_process(simulator_url: str, port: int) -> Iterator[int]:
    settings = {"model": f"openai/{MODEL}", "api_base": f"{simulator_url}/v1", "api_key": "none"}
    described = {"model_list": [{"model_name": MODEL, "litellm_params": settings}]}
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        config = Path(folder, "config.yaml")
        config.write_bytes(orjson.dumps(described))  # JSON is YAML
        argv = [
            str(ROOT / THEIRS),
            "--config",
            str(config),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        environ = {**os.environ, **SETTINGS}
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, env=environ)
        try:
            yield process.pid
        finally:
            kill_family(process.pid)
            process.wait()


async def _answers(url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{url}/health/liveliness") as reply,
        ):
            return reply.status == 200
    except aiohttp.ClientError:
        return False


async def _offer(way: Way, rate: int, seconds: float) -> Offered:
    """So many a second, whether those before have been answered or not."""
    dice = random.Random(7)
    connector = aiohttp.TCPConnector(limit=0)
    patience = aiohttp.ClientTimeout(total=LONGEST)
    async with aiohttp.ClientSession(
        way.url, headers=way.headers, connector=connector, timeout=patience
    ) as client:
        await asyncio.gather(*(_ask(client, way, f"warm {n}") for n in range(WARM)))
        before = sum(map(cpu_seconds, way.pids))
        asked: list[asyncio.Task[float | None]] = []
        began = monotonic()
        for number in range(round(rate * seconds)):
            # As many callers who know nothing of each other would come.
            due = began + (number + dice.random()) / rate
            await asyncio.sleep(max(due - monotonic(), 0))
            asked.append(asyncio.create_task(_ask(client, way, f"{rate} {number}")))
        times = await asyncio.gather(*asked)
        used = sum(map(cpu_seconds, way.pids)) - before
    good = [each for each in times if each is not None]
    if not good:
        message = f"nothing of {len(times)} requests was answered by {way.url}"
        raise RuntimeError(message)
    return Offered(good, len(times) - len(good), used * MS / len(times))


async def _ask(client: aiohttp.ClientSession, way: Way, prompt: str) -> float | None:
    """Milliseconds until the whole answer is there; None for any but an answer."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": MAX_TOKENS,
        **way.extra,
    }
    began = monotonic()
    try:
        async with client.post("/v1/chat/completions", json=body) as reply:
            await reply.read()
    except (aiohttp.ClientError, TimeoutError):
        return None
    return (monotonic() - began) * MS if reply.status == 200 else None


def _row(name: str, rate: int, found: Offered, base: float) -> list[str | float]:
    cuts = quantiles(found.milliseconds, n=100, method="inclusive")
    added = [cuts[percent - 1] - base for percent in (50, 95, 99)]
    cpu = f"{found.cpu:.2f}" if found.cpu else "-"
    return [name, rate, *(f"{each:.1f}" for each in added), found.failed, cpu]
