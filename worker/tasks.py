"""Every Celery task of the fleet: a name, a payload that nobody trusts, one line of body."""

import logging
from collections.abc import Callable

from celery import Celery

from shared.broker.messages import RUN, SWEEP, attempt_ids_in
from worker.step import Engine

logger = logging.getLogger(__name__)


def register(app: Celery, engine: Callable[[], Engine]) -> None:
    """Add the tasks to the application; `engine` is asked when a message comes.

    They send no task events: the engine sends those of the jobs, a carrier is not shown.
    """

    @app.task(name=RUN, send_events=False)  # type: ignore[untyped-decorator]
    async def run(attempt_ids: object) -> None:
        await engine().take(_trusted(attempt_ids))

    @app.task(name=SWEEP, send_events=False)  # type: ignore[untyped-decorator]
    async def sweep() -> None:
        await engine().sweep()


def _trusted(payload: object) -> list[str]:
    ids, dropped = attempt_ids_in(payload)
    if dropped:
        logger.warning("dropped %d entries of a message: no attempt ids", dropped)
    return ids
