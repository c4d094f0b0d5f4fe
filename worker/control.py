"""What Flower and `celery inspect` may ask and order about jobs; Celery knows only carriers."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from celery.worker import control as celerys
from celery.worker.control import Panel, ok

from shared.domain.ids import IdKind
from worker.pipeline.announce import TASK
from worker.step import EngineSlot

logger = logging.getLogger(__name__)

JOB: Final = f"{IdKind.JOB}_"
MOST_SHOWN: Final = 1000
"""Calls in flight that one worker lists: a page, not an export."""


def answer_for_jobs(slot: EngineSlot) -> None:
    """Let a task id that is a job's mean the job, in this process."""
    Panel.data["revoke"] = partial(_revoke, slot)
    Panel.data["terminate"] = partial(_terminate, slot)
    Panel.data["active"] = partial(_active, slot)


def _revoke(
    slot: EngineSlot, state: Any, task_id: str | Sequence[str], **options: Any
) -> dict[str, str]:
    """Cancel jobs; whatever is no job's id is Celery's business."""
    task_ids = [task_id] if isinstance(task_id, str) else list(task_id)
    jobs = [each for each in task_ids if each.startswith(JOB)]
    others = [each for each in task_ids if each not in jobs]
    if others:
        celerys.revoke(state, others, **options)
    if jobs:
        cancelling = state.consumer.pool.submit(slot.engine.cancel(jobs))
        cancelling.add_done_callback(_tell_failure)
    said: dict[str, str] = ok(f"tasks {task_ids} flagged as revoked")
    return said


def _terminate(
    slot: EngineSlot, state: Any, signal: str, task_id: str | Sequence[str], **options: Any
) -> dict[str, str]:
    return _revoke(slot, state, task_id, terminate=True, signal=signal, **options)


def _active(slot: EngineSlot, state: Any, **_: Any) -> list[dict[str, Any]]:
    """The calls in flight, in the shape of Celery's requests."""
    return [
        {
            "id": attempt.job_id,
            "name": TASK,
            "args": [attempt.deployment, attempt.attempt_id],
            "kwargs": {},
            "type": TASK,
            "hostname": state.hostname,
            "time_start": None,
            "acknowledged": True,
            "delivery_info": {"exchange": "", "routing_key": attempt.queue},
            "worker_pid": os.getpid(),
        }
        for attempt in slot.engine.flying()[:MOST_SHOWN]
    ]


def _tell_failure(cancelling: Future[None]) -> None:
    if error := cancelling.exception():
        logger.warning("a revoke from outside failed: %s", type(error).__name__)
