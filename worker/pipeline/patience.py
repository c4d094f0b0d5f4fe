"""Repeat a transaction until the database has answered it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from shared.db.engine import is_connection_loss

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


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
