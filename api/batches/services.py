"""The services that batches live by: each claims what nobody works on, one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import structlog

from api.batches.finish import finish
from api.batches.lease import Lease, LostError
from api.batches.register import register
from api.deps import Parts
from shared.db.batch_work import Work, claim
from shared.db.engine import is_connection_loss
from shared.services import kept_alive

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
AT_ONCE: Final = 2
"""Batches of each kind of work: a large one keeps no small one waiting."""
ACTS: Final[Mapping[Work, Callable[[Parts, Lease], Awaitable[None]]]] = {
    Work.REGISTER: register,
    Work.FINISH: finish,
}


async def serve_batches(parts: Parts) -> None:
    """Work on batches until cancelled."""
    await asyncio.gather(
        *(
            kept_alive(f"batches_{work}", partial(_serve, parts, work))
            for work in Work
            for _ in range(AT_ONCE)
        )
    )


async def _serve(parts: Parts, work: Work) -> None:
    while True:
        try:
            async with parts.database.transaction() as connection:
                row = await claim(connection, work)
            if row is None:
                await asyncio.sleep(POLL_SECONDS)
                continue
            await _act(parts, work, Lease(parts.database, row))
        except Exception as error:
            if not is_connection_loss(error):
                raise
            # What was claimed is claimed again when its lease is over.
            log.warning("batches_wait_for_the_database", error=type(error).__name__)
            await asyncio.sleep(POLL_SECONDS)


async def _act(parts: Parts, work: Work, lease: Lease) -> None:
    try:
        await ACTS[work](parts, lease)
    except asyncio.CancelledError:
        # This process goes: another need not wait until the lease is over.
        await lease.let_go()
        raise
    except LostError:
        log.info("batch_lost", batch=lease.row.id, work=work)
