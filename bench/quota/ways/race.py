"""What every way of the race is given and tells, also where nothing of ours is installed."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

MODEL = "gpt-4.1-mini"
MAX_TOKENS = 20
PATIENCE = 3600.0
"""Seconds that any way may take."""


@dataclass(frozen=True)
class Race:
    """One race: the provider's address, so many prompts, and a quota."""

    url: str
    prompts: int
    requests: int
    """Per window."""
    window: float
    """Seconds."""
    at_once: int

    @property
    def requests_per_minute(self) -> float:
        """The same quota, as libraries want it."""
        return self.requests * 60 / self.window


@dataclass(frozen=True)
class Finish:
    """How it ended."""

    seconds: float
    answered: int
    lost: int
    causes: dict[str, int]
    """Names of exceptions, and how many prompts ended with each."""


def read() -> Race:
    """The race of the command line: URL PROMPTS REQUESTS WINDOW AT_ONCE."""
    url, prompts, requests, window, at_once = sys.argv[1:]
    return Race(url, int(prompts), int(requests), float(window), int(at_once))


def messages(number: int) -> list[dict[str, str]]:
    """The same prompts for all."""
    return [{"role": "user", "content": f"question {number}"}]


def tell(finish: Finish) -> None:
    """To whoever started the race."""
    sys.stdout.write(json.dumps(asdict(finish)) + "\n")


async def run(race: Race, ask: Callable[[int], Awaitable[Any]]) -> Finish:
    """Ask every prompt once, so many at a time; what raises is lost."""
    slots, causes = asyncio.Semaphore(race.at_once), dict[str, int]()

    async def one(number: int) -> None:
        async with slots:
            try:
                await ask(number)
            except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer
                name = type(error).__name__
                causes[name] = causes.get(name, 0) + 1

    began = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(one(number) for number in range(race.prompts)))
    lost = sum(causes.values())
    return Finish(time.monotonic() - began, race.prompts - lost, lost, causes)
