"""Follow jobs until they have ended; whoever stops watching stops nothing else."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from cli.client import Client
from cli.jobs.choose import is_final, require
from cli.run.progress import FINALS, Meterstick, Standing

POLL_SECONDS: Final = 0.5
AT_ONCE: Final = 8
LEFT: Final = "stopped watching; the jobs go on. The same command watches again"


async def watch_ids(api: Client, job_ids: Sequence[str], *, quiet: bool) -> list[dict[str, Any]]:
    """These jobs when all have ended, in the order that was asked."""
    jobs = {job_id: await require(api, job_id) for job_id in dict.fromkeys(job_ids)}
    turns = asyncio.Semaphore(AT_ONCE)

    async def look(job_id: str) -> None:
        async with turns:
            jobs[job_id] = await api.job(job_id)

    with Meterstick(len(jobs), quiet=quiet) as meterstick:
        while True:
            asked = monotonic()
            counts = dict.fromkeys((*FINALS, "running", "queued", "scheduled"), 0)
            for job in jobs.values():
                counts[job["state"]] += 1
            cost_nano = sum(job["cost"]["nano_usd"] for job in jobs.values())
            meterstick.show(Standing(len(jobs), counts, cost_nano))
            open_ids = [job_id for job_id, job in jobs.items() if not is_final(job)]
            if not open_ids:
                return list(jobs.values())
            await asyncio.sleep(max(POLL_SECONDS, monotonic() - asked))
            await asyncio.gather(*map(look, open_ids))


async def watch_all(api: Client, batch: str | None, *, quiet: bool) -> dict[str, Any]:
    """The summary when no job of the batch, or of the tenant, is left to do.

    Of a tenant, what had ended before is not counted.
    """
    summary = await api.summary(batch)
    before = {state: 0 if batch else summary["counts"][state] for state in FINALS}
    paid = 0 if batch else summary["cost"]["nano_usd"]
    with Meterstick(sum(summary["counts"].values()), quiet=quiet) as meterstick:
        while True:
            asked = monotonic()
            counts = {
                state: number - before.get(state, 0) for state, number in summary["counts"].items()
            }
            standing = Standing(sum(counts.values()), counts, summary["cost"]["nano_usd"] - paid)
            meterstick.show(standing)
            if standing.ended >= standing.total:
                return {**summary, "counts": counts}
            await asyncio.sleep(max(POLL_SECONDS, 5 * (monotonic() - asked)))
            summary = await api.summary(batch)
