"""Rounds of work on rows that others write: at once when a bell rings, and now and then anyway."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from shared.doorbell import rings

log = structlog.get_logger(__name__)


async def one_round(work: Callable[[], Awaitable[None]]) -> None:
    """Work; what goes wrong is told in the log, and the next round may succeed."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - whatever it is
        log.warning("upkeep_missed", error=type(error).__name__, detail=str(error)[:200])


async def rounds(
    work: Callable[[], Awaitable[None]], bell: asyncio.Event, *, every: float, gap: float
) -> NoReturn:
    """Work until cancelled, every so many seconds and never twice in `gap`; no error ends it."""
    while True:
        bell.clear()
        await one_round(work)
        await asyncio.sleep(gap)
        # Many processes make the same rounds: jitter keeps them from meeting.
        await rings(bell, every * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
