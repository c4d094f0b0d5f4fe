"""What travels through the broker: task names, payloads and their shape."""

import re
from collections.abc import Sequence
from typing import Any, Final

from shared.domain.ids import IdKind, new_id

RUN: Final = "promptmill.run"
"""Start these attempts; args `[[attempt_id, ...]]`."""
SWEEP: Final = "promptmill.sweep"
"""Do the upkeep that is due; no args."""

ISOLATED_QUEUE: Final = "isolated"
"""Suspects run here, in a small process of few slots."""
UPKEEP_QUEUE: Final = "upkeep"
SERVICE_QUEUES: Final = (ISOLATED_QUEUE, UPKEEP_QUEUE)

_ATTEMPT_ID: Final = re.compile(rf"{IdKind.ATTEMPT}_[0-9a-z]{{26}}")


def attempt_ids_in(payload: object) -> tuple[list[str], int]:
    """Pick the well-formed attempt ids of an untrusted payload; count the entries that are not.

    A payload that is no list is one bad entry.
    """
    if not isinstance(payload, list):
        return [], 1
    ids = [entry for entry in payload if isinstance(entry, str) and _ATTEMPT_ID.fullmatch(entry)]
    return ids, len(payload) - len(ids)


def task_headers(message_id: str, task: str) -> dict[str, Any]:
    """Make the headers that Celery's protocol 2 asks for; nothing in them is ever shown."""
    return {
        "lang": "py",
        "task": task,
        "id": message_id,
        "root_id": message_id,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": "",
        "kwargsrepr": "",
        "origin": "promptmill",
        "ignore_result": True,
    }


def run_message(attempt_ids: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """One carrier of attempt ids: its body (args, kwargs, embed) and its headers."""
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return [[list(attempt_ids)], {}, embed], task_headers(new_id(IdKind.RUN), RUN)
