"""Repeat a transaction until the database has answered it; end tasks that may not hear at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import structlog

from shared.db.engine import is_connection_loss

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
LAST_WORDS: Final = 3.0
"""Seconds that a cancelled task gets before it is told again."""
TELLINGS: Final = 3
CLOSE_SECONDS: Final = 2.0
"""What each connection gets to close in."""


async def until_answered(what: str, work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Run `work`, again and again while the connection to Postgres is lost.

    `work` must be harmless when repeated: a lost COMMIT reply looks like a lost
    connection. Any other error is raised.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return await work()
        except Exception as error:
            if not is_connection_loss(error):
                raise
            log.warning("database_away", what=what, error=type(error).__name__)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for them; what does not hear is told again.

    `asyncio.wait_for` of Python 3.11 loses a cancellation that comes in the instant of its
    success; our connections to Redis make up for it, another library may not.
    """
    left = set(tasks)
    for _ in range(TELLINGS):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=LAST_WORDS)


async def close_all(*closers: Callable[[], Awaitable[object]]) -> None:
    """Close each, in this order; what does not close keeps nothing else open."""
    for close in closers:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await close()
        except Exception as error:  # noqa: BLE001 - the process ends, whatever this is
            what = getattr(close, "__qualname__", repr(close))
            log.warning("not_closed", what=what, error=type(error).__name__)
