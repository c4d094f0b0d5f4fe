"""Cancel jobs by their ids, or all that have something in common."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from urllib.parse import quote

from cli.client import JOBS, Client, RefusedError
from cli.jobs.choose import Choice, is_final

AT_ONCE: Final = 8


async def cancel_one(api: Client, job_id: str) -> dict[str, Any]:
    """What became of it: its id and state, or why it could not be cancelled."""
    try:
        job = await api.post(f"{JOBS}/{quote(job_id, safe='')}/cancel")
    except RefusedError as error:
        if error.status not in {404, 409}:
            raise
        return {"id": job_id, "state": None, "error": error.message}
    return {"id": job_id, "state": job["state"], "error": None}


async def cancel_ids(api: Client, job_ids: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
    """Cancel each; what became of it, in order."""
    for start in range(0, len(job_ids), AT_ONCE):
        part = job_ids[start : start + AT_ONCE]
        for outcome in await asyncio.gather(*(cancel_one(api, job_id) for job_id in part)):
            yield outcome


async def cancel_chosen(api: Client, choice: Choice) -> AsyncIterator[dict[str, Any]]:
    """Cancel all that were chosen and have not ended, page by page."""
    waiting: list[str] = []
    async for job in api.jobs(**choice.params(), order="asc"):
        if is_final(job):
            continue
        waiting.append(job["id"])
        if len(waiting) >= AT_ONCE:
            async for outcome in cancel_ids(api, waiting):
                yield outcome
            waiting.clear()
    async for outcome in cancel_ids(api, waiting):
        yield outcome
