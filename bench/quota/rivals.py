"""A race at a binding quota: the mill and what else a user would take, in turn, one provider."""

import asyncio
import json
import math
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx2

from bench.figures import Demand, Part
from bench.quota.matrix import SLOTS, WORKERS
from bench.quota.scale import Scale
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from tests.mill import ROOT
from tests.quota.rules import LATENCY_MS, Rule, enforce, overlay, set_limits

THEIRS: Final = Path(".venv-rivals/bin/python")
"""`make rivals` makes it."""
OURS: Final = Path(sys.executable)
AT_ONCE: Final = 200
LONGEST: Final = 3600
QUIET: Final = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""Nobody looks for prices on the network while it races."""
ABSENT: Final = "not installed: make rivals"


@dataclass(frozen=True, slots=True)
class Ran:
    """One way's race."""

    seconds: float
    lost: int
    refused: int
    causes: str = ""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that no way can beat."""

    steady: float
    """At the quota's own rate."""
    least: float
    """If every window's whole quota went in its first instant, the account being rested."""

    @classmethod
    def of(cls, scale: Scale) -> "Times":
        """By arithmetic."""
        windows = scale.prompts / scale.race_requests
        latency = LATENCY_MS / 1000
        whole = (math.ceil(windows) - 1) * scale.race_window
        return cls(windows * scale.race_window + latency, whole + latency)


async def race(servers: Servers, scale: Scale) -> Part:
    """Each way has the account alone and finds it rested."""
    rule = Rule(
        account="openai",
        model="gpt-4.1-mini",
        limits={"requests": scale.race_requests},
        window=scale.race_window,
        # The account looks at whole windows alone, and every way finds it rested.
        burst=1.0,
    )
    times = Times.of(scale)
    found = Part(
        f"{scale.prompts:,} prompts at {scale.race_requests:,} requests per"
        f" {scale.race_window:g} s: {times.steady:.1f} s at a steady rate,"
        f" {times.least:.1f} s at least",
        ["way", "seconds", "times steady", "times the least", "429s", "lost", "why"],
    )
    async with stage(servers, overlay([rule])) as on:
        await enforce(on.mill, [rule])
        for way, run in WAYS.items():
            async with httpx2.AsyncClient(base_url=on.mill.simulator_url) as client:
                await set_limits(client, [rule])
            ran = await run(on, scale)
            found.rows.append(_row(ran, way, times))
            if ran and way == MILL:
                _judge(found, ran, times, scale)
    return found


def _judge(found: Part, ran: Ran, times: Times, scale: Scale) -> None:
    demand = Demand(what="the mill's time : steady quota", bound=scale.race_bound, unit=" x")
    found.judge("race time", ran.seconds / times.steady, demand)
    found.judge("race lost", ran.lost, Demand(what="prompts that the mill lost", bound=0))
    found.judge("race refused", ran.refused, Demand(what="429s of the mill in the race", bound=0))


def _row(ran: Ran | None, way: str, times: Times) -> list[str | float]:
    if ran is None:
        return [way, *["-"] * 5, ABSENT]
    ratios = [f"{ran.seconds / each:.2f}" for each in (times.steady, times.least)]
    return [way, f"{ran.seconds:.1f}", *ratios, ran.refused, ran.lost, ran.causes]


async def _mill(on: Stage, scale: Scale) -> Ran:
    """Two workers that run already; from the first job's acceptance to the last job's end."""
    await on.start_workers(WORKERS, SLOTS)
    began = monotonic()
    await on.fill(scale.prompts)
    states = await on.mill.all_final(within=LONGEST)
    seconds = monotonic() - began
    on.retire(on.mill.workers)
    return Ran(seconds, scale.prompts - states["succeeded"], await _refused(on))


def _script(module: str, python: Path) -> "Run":
    """A way that is a process of its own."""

    async def run(on: Stage, scale: Scale) -> Ran | None:
        if not (ROOT / python).exists():
            return None
        quota = [scale.race_requests, scale.race_window]
        options = [on.mill.simulator_url, scale.prompts, *quota, AT_ONCE]
        process = await asyncio.create_subprocess_exec(
            ROOT / python,
            "-m",
            f"bench.quota.ways.{module}",
            *map(str, options),
            cwd=ROOT,
            env={**os.environ, **QUIET},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            written, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise RuntimeError(f"{module} ended: {complaints.decode()[-2000:]}")
        told: dict[str, Any] = json.loads(written.splitlines()[-1])
        causes = ", ".join(f"{name} {times}" for name, times in told["causes"].items())
        return Ran(told["seconds"], told["lost"], await _refused(on), causes)

    return run


async def _refused(on: Stage) -> int:
    return int((await on.mill.stats())["rejected"])


Run = Callable[[Stage, Scale], Awaitable[Ran | None]]
MILL: Final = "Promptmill"
WAYS: Final[dict[str, Run]] = {
    MILL: _mill,
    "LiteLLM Router": _script("litellm_router", THEIRS),
    "async-batch-llm": _script("async_batch", THEIRS),
    "semaphore and backoff": _script("backoff", OURS),
}
