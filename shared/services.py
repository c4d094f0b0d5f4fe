"""Services beside the work of a process: they run until cancelled, whatever happens in them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 1.0
"""Until a service that broke is started again."""


async def kept_alive(name: str, service: Callable[[], Awaitable[None]]) -> None:
    """Run a service until cancelled; one that breaks is told of and started again."""
    while True:
        try:
            await service()
        except Exception:
            log.exception("service_broke", service=name)
        await asyncio.sleep(PAUSE_SECONDS)
